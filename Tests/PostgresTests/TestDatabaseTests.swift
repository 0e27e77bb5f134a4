import Postgres
import Synchronization
import TestSupport
import Testing

@Suite struct TestDatabaseTests {
    @Test func `a template is made once, and every database begins as it`() async throws {
        let calls = Calls()
        let template = await TestDatabase.registerTemplate("with-table") { url in
            calls.count.wrappingAdd(1, ordering: .relaxed)
            let connection = PostgresConnection(PostgresConfiguration(url: url), logger: .silent)
            try await connection.executeScript(
                PostgresStatement("make template", "CREATE TABLE t (n int8); INSERT INTO t VALUES (1)"))
            await connection.close()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    try await withTestDatabase(template: template) { database in
                        let rows = try await database.pool().execute(
                            PostgresStatement(
                                "add number", "WITH added AS (INSERT INTO t VALUES (2)) SELECT count(*) FROM t"))
                        let count = try rows[0].decode(Int.self)
                        #expect(count == 1)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(calls.count.load(ordering: .relaxed) == 1)
    }

    @Test func `a template nobody has registered is an error`() async throws {
        await #expect(throws: (any Error).self) {
            try await withTestDatabase(template: TestDatabase.Template(name: "unknown")) { _ in }
        }
    }

    private final class Calls: Sendable {
        let count = Atomic(0)
    }
}
