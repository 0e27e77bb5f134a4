import Foundation
import TestSupport
import Testing

@Suite struct `Tools of an operator` {
    private func json(_ ending: Program.Ending) throws -> Any {
        #expect(ending.status == 0, "\(ending.errors)")
        return try JSONSerialization.jsonObject(with: Data(ending.output.utf8))
    }

    @Test func `migrate brings an empty database up, once`() async throws {
        try await withTestDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            let dry = try await Program.run(["migrate", "--dry-run"], environment: environment)
            #expect(dry.output.contains("create schema if not exists evergrant"))
            let first = try #require(
                try json(try await Program.run(["migrate", "--json"], environment: environment)) as? [String: Any])
            #expect((first["applied"] as? [String])?.isEmpty == false)
            let second = try #require(
                try json(try await Program.run(["migrate", "--json"], environment: environment)) as? [String: Any])
            #expect((second["applied"] as? [String])?.isEmpty == true)
            #expect(
                try await Program.run(["migrate", "--dry-run"], environment: environment).output.contains(
                    "nothing to do"))
        }
    }

    @Test func `a key is printed once, listed without its text, and revoked`() async throws {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            let made = try await Program.run(
                [
                    "apikeys", "create", "--environment", "shop", "--create-environment", "live", "--role", "read",
                    "--name", "n",
                ],
                environment: environment)
            #expect(made.status == 0, "\(made.errors)")
            let key = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(key.wholeMatch(of: /eg_live_[A-Za-z0-9_-]{43}/) != nil, "\(key)")
            let listed = try await Program.run(["apikeys", "list", "--json"], environment: environment)
            #expect(!listed.output.contains(key))
            let row = try #require((try json(listed) as? [[String: Any]])?.first)
            #expect(row["role"] as? String == "read")
            #expect(row["state"] as? String == "good")
            let id = try #require(row["id"] as? String)
            let revoked = try await Program.run(["apikeys", "revoke", id], environment: environment)
            #expect(revoked.output.contains("ends now"), "\(revoked.errors)")
            #expect(try await Program.run(["apikeys", "list"], environment: environment).output.contains("revoked"))
        }
    }

    @Test func `empty lists are empty, in both forms`() async throws {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            _ = try await Program.run(
                ["apikeys", "create", "--environment", "test", "--create-environment", "test"], environment: environment
            )
            for command in ["connections", "jobs"] {
                #expect(
                    (try json(try await Program.run([command, "list", "--json"], environment: environment)) as? [Any])?
                        .isEmpty == true)
                #expect(try await Program.run([command, "list"], environment: environment).output.hasPrefix("ID  "))
            }
        }
    }

    @Test func `doctor finds a good installation good`() async throws {
        try await withMigratedDatabase { database in
            let ending = try await Program.run(
                ["doctor", "--json"],
                environment: [
                    "EVERGRANT_DATABASE_URL": database.url, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
                ])
            let findings = try #require(try json(ending) as? [[String: Any]])
            #expect(findings.allSatisfy { $0["is_good"] as? Bool == true }, "\(ending.output)")
            #expect(
                findings.compactMap { $0["check"] as? String } == [
                    "catalog", "keyring", "escrow journal", "public URL", "database", "clock", "schema", "server",
                    "data keys",
                ])
        }
    }

    @Test func `doctor goes on after a fault, and ends with status 1`() async throws {
        let ending = try await Program.run(
            ["doctor"],
            environment: [
                "EVERGRANT_DATABASE_URL": Program.deadDatabase, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
                "EVERGRANT_FRONT_PUBLIC_URL": "http://connect.example.com",
            ])
        #expect(ending.status == 1)
        #expect(ending.output.contains("!!  public URL"))
        #expect(ending.output.contains("!!  database"))
        #expect(ending.output.contains("ok  catalog"))
    }
}
