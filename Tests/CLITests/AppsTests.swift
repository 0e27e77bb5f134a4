import Foundation
import TestSupport
import Testing

@Suite struct `Rights of apps, by command` {
    private struct Grant: Decodable {
        let role, environment, access: String
        let kinds, remaining: [String]
        let priority, batch, queues: Int
    }

    private func grants(_ ending: Program.Ending) throws -> [Grant] {
        #expect(ending.status == 0, "\(ending.errors)")
        return try JSONDecoder().decode([Grant].self, from: Data(ending.output.utf8))
    }

    @Test func `apps are allowed, listed and denied, and told what the database still needs`() async throws {
        try await withMigratedDatabase { database in
            let settings = ["EVERGRANT_DATABASE_URL": database.url]
            func run(_ arguments: String...) async throws -> Program.Ending {
                try await Program.run(["apps"] + arguments, environment: settings)
            }
            _ = try await Program.run(
                ["apikeys", "create", "--environment", "shop", "--create-environment", "test"], environment: settings)
            let empty = try await run("list", "--json")
            #expect(try grants(empty).isEmpty)

            let role = "no such \"role\""
            let allowed = try await run("allow", "--role", role, "--kind", "connection.validate", "--kind", "mail.send")
            #expect(allowed.status == 0, "\(allowed.errors)")
            #expect(allowed.output.contains("may enqueue in shop: connection.validate, mail.send"))
            #expect(allowed.output.contains("performs mail.send"))
            #expect(allowed.output.contains(#"create role "no such ""role""" login password"#))
            #expect(allowed.output.contains(#"grant evergrant_app to "no such ""role""";"#))
            _ = try await run(
                "allow", "--role", role, "--environment", "shop", "--kind", "mail.send", "--priority", "1", "--batch",
                "5",
                "--queues", "3")
            let listed = try await run("list", "--json")
            let row = try #require(try grants(listed).first)
            #expect(row.role == role && row.environment == "shop" && row.access == "missing")
            #expect(row.kinds == ["connection.validate", "mail.send"] && row.remaining.count == 3)
            #expect(row.priority == 1 && row.batch == 5 && row.queues == 3)
            #expect(try await run("list").output.contains("1–3"))

            let less = try await run("deny", "--role", role, "--kind", "mail.send")
            #expect(less.output.contains("may enqueue in shop: connection.validate\n"), "\(less.errors)")
            #expect(try await run("deny", "--role", role).output.contains("nothing"))
            let again = try await run("deny", "--role", role)
            #expect(again.status == 64 && again.errors.contains("see evergrant apps list"))
            for wrong in [
                ["allow", "--role", role], ["allow", "--kind", "mail.send"],
                ["allow", "--role", role, "--kind", "mail.send", "--environment", "nowhere"],
                ["allow", "--role", role, "--kind", "Mail send"],
                ["allow", "--role", role, "--kind", "mail.send", "--priority", "4"],
            ] {
                let ending = try await Program.run(["apps"] + wrong, environment: settings)
                #expect(ending.status == 64 || ending.status == 65, "\(wrong): \(ending.output)")
            }
        }
    }
}
