import Foundation
import Postgres
import Store
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct `Tools for events, webhooks and the audit` {
    private struct World {
        let pool: PostgresPool
        let url: String

        func run(_ arguments: String...) async throws -> Program.Ending {
            try await Program.run(arguments, environment: ["EVERGRANT_DATABASE_URL": url])
        }

        func script(_ sql: String) async throws {
            try await pool.executeScript(PostgresStatement("test_\(abs(sql.hashValue))", sql))
        }
    }

    private func with(_ body: (World) async throws -> Void) async throws {
        try await withMigratedDatabase { database in
            let world = World(pool: database.pool(), url: database.url)
            _ = try await world.run("apikeys", "create", "--environment", "shop", "--create-environment", "test")
            try await world.script(
                """
                insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                    state, grant_id)
                select id, 'test', 'gmail', 'google', 'user', 'u', 'active', gen_random_uuid() from evergrant.environments;
                insert into evergrant.webhook_endpoints (environment_id, name, url, secret)
                select id, 'main', 'https://receiver.invalid/', '' from evergrant.environments;
                """)
            try await body(world)
        }
    }

    @Test func `audit verify names the row that was changed, and exits 1`() async throws {
        try await with { world in
            for n in 1...5 {
                try await world.script(
                    "insert into evergrant.audit (environment_id, actor, action, count) select id, 'cli', 'export', \(n) from evergrant.environments"
                )
            }
            let sealer = AuditSealer(pool: world.pool)
            while try await sealer.lag() > 0 { _ = try await sealer.seal() }
            let good = try await world.run("audit", "verify")
            #expect(good.status == 0 && good.output.contains("shop: sealed up to seal"), "\(good.errors)")
            let head = try await world.run("audit", "head", "--environment", "shop")
                .output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try await world.run("audit", "verify", "--expect", head).status == 0)
            #expect(try await world.run("audit", "verify", "--expect", "1:x").status == 64)
            let forged = head.prefix { $0 != ":" } + ":" + String(repeating: "0", count: 64)
            #expect(try await world.run("audit", "verify", "--expect", String(forged)).status == 1)
            #expect(try await world.run("audit", "list", "--action", "export").output.contains("export"))

            try await world.script("update evergrant.audit set count = 99 where count = 3")
            let bad = try await world.run("audit", "verify")
            #expect(bad.status == 1)
            #expect(bad.output.contains("ALTERED: row ") && bad.output.contains("it is not what was sealed"))
        }
    }

    @Test func `events and webhooks are shown, replayed and stopped`() async throws {
        try await with { world in
            while try await world.pool.transaction({ try await Events.sequence(limit: 10, in: $0) }).events > 0 {}
            let events = try await world.run("events", "list")
            #expect(events.output.contains("connection.created") && events.output.contains("go on with --after 1"))
            #expect(try await world.run("webhooks").output.contains("main"))
            let shown = try await world.run("webhooks", "show", "main")
            #expect(shown.output.contains("pending         1"), "\(shown.output)\(shown.errors)")
            let list = try await world.run("webhooks", "deliveries", "main", "--state", "pending")
            let id = try #require(list.output.firstMatch(of: /dlv_[0-9a-f]{32}/)?.output).description
            #expect(try await world.run("webhooks", "delivery", id).output.contains("connection.created"))
            #expect(try await world.run("webhooks", "redeliver", id).output.contains("on its way"))
            let preview = try await world.run(
                "webhooks", "replay", "main", "--since", "1h", "--types", "*", "--dry-run")
            #expect(preview.output.contains("0 events would be sent"), "\(preview.errors)")
            #expect(try await world.run("webhooks", "replay", "main").status == 64)
            #expect(try await world.run("webhooks", "disable", "main").status == 0)
            #expect(try await world.run("webhooks", "test", "main").errors.contains("evergrant webhooks enable main"))
            #expect(try await world.run("webhooks", "enable", "main").status == 0)
            #expect(try await world.run("webhooks", "show", "missing").errors.contains("evergrant webhooks list"))
        }
    }
}
