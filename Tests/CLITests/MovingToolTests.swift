import Foundation
import Postgres
import TestSupport
import Testing

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
