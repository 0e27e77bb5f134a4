import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct `Provider tools of an operator` {
    private let seed = """
        insert into evergrant.oauth_apps (uid, environment_id, provider, client_id)
        select 'app_1', id, 'google', 'client' from evergrant.environments;
        insert into evergrant.token_hosts (oauth_app_id, host, whole, breaker, tend_at, state)
        select id, 'auth.example', true, 'open', now() + interval '1 h',
            '{"breaker": "open", "breakerSince": 800000000, "openedAt": 800000000, "quarantinedAt": 800000000,
              "lastTrouble": "invalid_client", "lastTroubleAt": 800000000}'
        from evergrant.oauth_apps;
        insert into evergrant.unclassified_answers (oauth_app_id, host, shape, status, code, sample)
        select id, 'auth.example', '418', 418, 'teapot', 'short of tea' from evergrant.oauth_apps;
        """

    @Test func `troubles and unknown answers are listed, and released by name`() async throws {
        try await withMigratedDatabase { database in
            func run(_ arguments: String...) async throws -> Program.Ending {
                try await Program.run(arguments, environment: ["EVERGRANT_DATABASE_URL": database.url])
            }
            _ = try await run("apikeys", "create", "--environment", "shop", "--create-environment", "test")
            #expect(try await run("providers").output.contains("no provider has had trouble"))
            let pool = database.pool()
            try await pool.executeScript(PostgresStatement("seed", seed))
            await pool.close()
            let table = try await run("providers")
            #expect(table.output.contains("auth.example") && table.output.contains("open since"), "\(table.errors)")
            #expect(table.output.contains("needs attention"))
            let unknown = try await run("providers", "unclassified")
            #expect(unknown.output.contains("teapot") && unknown.output.contains("short of tea"), "\(unknown.errors)")
            let missing = try await run("providers", "release", "--oauth-app", "app_2")
            #expect(
                missing.status != 0 && missing.errors.contains("app_2")
                    && missing.errors.contains("evergrant providers"))
            let released = try await run("providers", "release", "--oauth-app", "app_1")
            #expect(released.output.contains("released 1 endpoint"), "\(released.errors)")
            let after = try await run("providers", "health", "--json")
            #expect(
                after.output.contains(#""breaker":"closed""#) || after.output.contains(#""breaker" : "closed""#),
                "\(after.output)")
        }
    }
}
