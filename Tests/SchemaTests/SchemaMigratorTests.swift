import Foundation
import Logging
import Postgres
import Schema
import TestSupport
import Testing

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

@Suite struct SchemaMigratorTests {
    private let first = Migration(
        version: 1, name: "first", sql: "create table evergrant.a (x int); insert into evergrant.a values (1);")
    private let second = Migration(version: 2, name: "second", sql: "create table evergrant.b (x int);")

    private func migrator(_ pool: PostgresPool, _ migrations: Migration...) throws -> SchemaMigrator {
        try SchemaMigrator(pool: pool, migrations: migrations, logger: quiet)
    }

    @Test func `migrations are applied in order, once, and then pass the check`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool()
            let error = await #expect(throws: SchemaError.self) { try await migrator(pool, first).check() }
            #expect(error?.code == .outdated)
            #expect(error?.description.contains("evergrant migrate") == true)
            #expect(try await migrator(pool, first).pending() == [first])
            #expect(try await migrator(pool, first).migrate() == [first])
            #expect(try await migrator(pool, first, second).pending() == [second])
            await #expect(throws: SchemaError.self) { try await migrator(pool, first, second).check() }
            #expect(try await migrator(pool, first, second).migrate() == [second])
            #expect(try await migrator(pool, first, second).migrate().isEmpty)
            try await migrator(pool, first, second).check()
        }
    }

    @Test func `many migrators at once apply each migration once`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool { $0.maximumConnections = 6 }
            let applied = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 { group.addTask { try await migrator(pool, first, second).migrate().count } }
                return try await group.reduce(0, +)
            }
            #expect(applied == 2)
        }
    }

    @Test func `a migration that fails leaves nothing behind, and those before it stay`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool()
            let bad = Migration(version: 2, name: "bad", sql: "create table evergrant.b (x int); select 1 / 0;")
            let error = await #expect(throws: PostgresError.self) { try await migrator(pool, first, bad).migrate() }
            #expect(error?.sqlState == "22012" && error?.statement.contains("2 bad") == true)
            #expect(try await migrator(pool, first, second).pending() == [second])
            #expect(try await migrator(pool, first, second).migrate() == [second])
        }
    }

    @Test func `an edited migration and a newer database are refused`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool()
            try await migrator(pool, first, second).migrate()
            let edited = Migration(version: 1, name: "first", sql: first.sql + " ")
            for body in [
                { _ = try await migrator(pool, edited, second).pending() },
                { try await migrator(pool, edited, second).check() },
                { _ = try await migrator(pool, edited, second).migrate() },
            ] as [() async throws -> Void] {
                #expect(await #expect(throws: SchemaError.self) { try await body() }?.code == .altered)
            }
            let error = await #expect(throws: SchemaError.self) { try await migrator(pool, first).check() }
            #expect(error?.code == .newer)
            #expect(error?.description.contains("second") == true)
            #expect(
                await #expect(throws: SchemaError.self) { try await migrator(pool, first).migrate() }?.code == .newer)
        }
    }

    @Test func `the script of a dry run does what migrating does`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool()
            let script = try await migrator(pool, first, second).script()
            #expect(try await migrator(pool, first, second).pending().count == 2)
            try await pool.executeScript(PostgresStatement("script", script))
            try await migrator(pool, first, second).check()
            #expect(try await migrator(pool, first, second).script().isEmpty)
        }
    }

    @Test func `the bundled migrations apply to an empty database`() async throws {
        try await withTestDatabase { database async throws in
            let pool = database.pool()
            let migrator = try SchemaMigrator(pool: pool, logger: quiet)
            #expect(migrator.migrations.map(\.name).contains("queue"))
            try await migrator.migrate()
            try await migrator.check()
        }
    }

    @Test func `badly named files and numbers given twice are refused by name`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("migrations-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func put(_ name: String) throws { try Data("select 1".utf8).write(to: folder.appendingPathComponent(name)) }
        try put("0002_b.sql")
        try put("0001_a.sql")
        try put("roles.sql.template")
        #expect(try Migration.load(from: folder).map(\.name) == ["a", "b"])
        try put("0002_c.sql")
        #expect(throws: SchemaError.self) { try Migration.load(from: folder) }
        try FileManager.default.removeItem(at: folder.appendingPathComponent("0002_c.sql"))
        try put("oops.sql")
        let error = #expect(throws: SchemaError.self) { try Migration.load(from: folder) }
        #expect(error?.description.contains("oops.sql") == true)
    }
}
