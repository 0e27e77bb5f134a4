import Foundation
import Postgres
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

@Suite(.timeLimit(.minutes(5))) struct `Moving in and out with the tool` {
    private func prepared(_ database: TestDatabase) async throws -> [String: String] {
        let environment = [
            "EVERGRANT_DATABASE_URL": database.url, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
        ]
        let made = try await Program.run(
            ["apikeys", "create", "--environment", "test", "--create-environment", "test"], environment: environment)
        #expect(made.status == 0, "\(made.errors)")
        try await database.pool().execute(
            PostgresStatement(
                "enable",
                "insert into evergrant.integrations (environment_id, integration) select id, 'exa' from evergrant.environments"
            ))
        return environment
    }

    private let rows = """
        integration,identity,external_id,field.api_key
        exa,user-1,a,00000000-0000-4000-8000-000000000001
        exa,user-2,b,00000000-0000-4000-8000-000000000002

        """

    @Test func `a file is checked, imported, and imported once`() async throws {
        try await withMigratedDatabase { database in
            let environment = try await prepared(database)
            func run(_ arguments: [String]) async throws -> Program.Ending {
                try await Program.run(arguments, environment: environment, files: ["rows.csv": rows])
            }
            let dry = try await run(["import", "rows.csv", "--dry-run"])
            #expect(dry.status == 0 && dry.output.contains("checked, nothing was stored: 2 rows"), "\(dry)")
            let first = try await run(["import", "rows.csv"])
            #expect(first.status == 0 && first.output.contains("done, 2 imported"), "\(first)")
            let again = try await run(["import", "rows.csv", "--json"])
            #expect(again.output.contains("\"imported\" : 2"), "\(again)")
            let listed = try await run(["connections", "list"])
            #expect(listed.output.contains("user/user-2"))
            let counted = try await run(["erase", "user-2"])
            #expect(counted.output.contains("has 1 connections"), "\(counted)")
            let erased = try await run(["erase", "user-2", "--yes"])
            #expect(erased.output.contains("1 connections, unusable from now on"), "\(erased)")
        }
    }

    @Test func `an import that was killed goes on when it is run again, and makes each connection once`() async throws {
        try await withMigratedDatabase { database in
            let environment = try await prepared(database)
            let count = 3000
            let folder = FileManager.default.temporaryDirectory.appending(path: "evergrant-kill-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let file = folder.appending(path: "rows.csv")
            let text =
                "integration,identity,external_id,field.api_key\n"
                + (1...count).map { "exa,user-\($0),x\($0),00000000-0000-4000-8000-00000000\(1000 + $0)\n" }.joined()
            try text.write(to: file, atomically: true, encoding: .utf8)
            let pool = database.pool()
            func number(_ sql: String) async throws -> Int64 {
                try await pool.execute(PostgresStatement("count", sql)).first?.decode(Int64.self) ?? 0
            }
            // Once while rows arrive, once while connections are made.
            for moment in ["select count(*) from evergrant.import_rows", "select count(*) from evergrant.connections"] {
                let process = Process()
                process.executableURL = URL(filePath: Program.path)
                process.arguments = ["import", file.path]
                process.currentDirectoryURL = folder
                process.environment = environment.merging([
                    "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder.path,
                ]) { own, _ in own }
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.nullDevice
                let before = try await number(moment)
                try process.run()
                while try await number(moment) == before, process.isRunning {
                    try await Task.sleep(for: .milliseconds(2))
                }
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
            }
            let ending = try await Program.run(["import", file.path], environment: environment)
            #expect(ending.status == 0, "\(ending)")
            #expect(ending.output.contains("done, \(count) imported"), "\(ending)")
            #expect(try await number("select count(*) from evergrant.imports") == 1)
            #expect(try await number("select count(*) from evergrant.connections") == Int64(count))
            #expect(try await number("select count(distinct identity) from evergrant.connections") == Int64(count))
        }
    }

    @Test func `bad rows are told by line and column, and listed in a file`() async throws {
        try await withMigratedDatabase { database in
            let environment = try await prepared(database)
            let rejects = FileManager.default.temporaryDirectory.appending(path: "rejects-\(UUID().uuidString)").path
            defer { try? FileManager.default.removeItem(atPath: rejects) }
            let bad = rows + "exa,,c,secret-in-a-bad-row\n"
            let ending = try await Program.run(
                ["import", "rows.csv", "--rejects", rejects], environment: environment, files: ["rows.csv": bad])
            #expect(ending.status == 65)
            #expect(ending.output.contains("line 4, identity: is missing"), "\(ending)")
            #expect(!(ending.output + ending.errors).contains("secret-in-a-bad-row"))
            #expect(try String(contentsOfFile: rejects, encoding: .utf8).contains(#""line":4"#))
        }
    }

    @Test func `an export without a recipient that can open it is refused`() async throws {
        try await withMigratedDatabase { database in
            let environment = try await prepared(database)
            let wrong = try await Program.run(["export", "--recipient", "age1x"], environment: environment)
            #expect(wrong.status == 64 && wrong.errors.contains("recipient is not of the form age1"), "\(wrong.errors)")
            let missing = try await Program.run(["export"], environment: environment)
            #expect(missing.status == 64 && missing.errors.contains("--recipient"), "\(missing.errors)")
        }
    }
}
