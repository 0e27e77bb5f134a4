import Foundation
import LifecycleSupport
import Postgres
import TestSupport
import Testing

@testable import Store

/// Statements on provider health, explained with tables large enough that reading one from end to end would be wrong.
@Suite(.timeLimit(.minutes(5))) struct HealthPlanTests {
    private static let large = """
        insert into evergrant.environments (name, mode) values ('large', 'test');
        insert into evergrant.oauth_apps (uid, environment_id, provider, client_id)
        select 'app_' || g, e.id, 'p', 'c' from evergrant.environments e, generate_series(1, 2000) g;
        insert into evergrant.token_hosts (oauth_app_id, host, whole, tend_at)
        select id, 'a.example', true, case when id % 500 = 0 then now() end from evergrant.oauth_apps;
        insert into evergrant.unclassified_answers (oauth_app_id, host, shape, status)
        select id, 'a.example', g, 400 from evergrant.oauth_apps, generate_series(1, 5) g;
        insert into evergrant.connections (environment_id, mode, integration, provider, oauth_app_id, identity_type,
            identity, state, reason, grant_id, account_id)
        select e.id, 'test', 'i', 'p', 1 + g % 2000, 'user', g,
            (array['active', 'active', 'active', 'degraded', 'suspected'])[1 + g % 5], 'provider_trouble',
            gen_random_uuid(), g
        from evergrant.environments e, generate_series(1, 20000) g;
        insert into evergrant.held_verdicts (connection_id, grant_id, oauth_app_id, host)
        select id, grant_id, oauth_app_id, 'a.example' from evergrant.connections where state = 'suspected';
        analyze evergrant.oauth_apps, evergrant.token_hosts, evergrant.connections, evergrant.held_verdicts,
            evergrant.unclassified_answers;
        """

    private static let statements: [(PostgresStatement, types: String, arguments: String, index: String)] = [
        (TokenHosts.lockStatement, "bigint, text", "7, 'a.example'", "token_hosts_pkey"),
        (TokenHosts.watchedStatement, "int", "100", "token_hosts_to_tend"),
        (TokenHosts.troubledHostsStatement, "int", "100", "token_hosts_to_tend"),
        (TokenHosts.quarantinedStatement, "bigint", "7", "token_hosts_pkey"),
        (TokenHosts.kickStatement, "bigint, int", "7, 3", "connections_in_trouble"),
        (TokenHosts.releaseStatement, "bigint, bigint, int, interval", "7, 0, 1000, '1 s'", "connections_in_trouble"),
        (TokenHosts.troubledStatement, "bigint, int", "7, 20", "connections_in_trouble"),
        (TokenHosts.connectedStatement, "bigint, int", "7, 20", "connections_of_account"),
        (HeldVerdicts.tryStatement, "bigint, text", "7, 'a.example'", "held_verdicts_of_host"),
        (
            HeldVerdicts.releaseStatement, "bigint, text, int, interval", "7, 'a.example', 100, '1 s'",
            "held_verdicts_of_host"
        ),
        (HeldVerdicts.sinceStatement, "bigint, uuid", "7, gen_random_uuid()", "held_verdicts_pkey"),
        (HeldVerdicts.countStatement, "", "", "held_verdicts_of_host"),
        (
            UnclassifiedAnswers.trimStatement, "bigint, text, int", "7, 'a.example', 20", "unclassified_answers_pkey"
        ),
    ]

    @Test func `every statement reads its index and no large table from end to end`() async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.executeScript(PostgresStatement("large", Self.large))
            for (statement, types, arguments, index) in Self.statements {
                let plan = try await pool.withConnection { connection in
                    try await connection.executeScript(
                        PostgresStatement(
                            "prepare", "prepare explained\(types.isEmpty ? "" : "(\(types))") as \(statement.sql)"))
                    let rows = try await connection.execute(
                        PostgresStatement(
                            "explain", "explain execute explained\(arguments.isEmpty ? "" : "(\(arguments))")"))
                    try await connection.executeScript(PostgresStatement("deallocate", "deallocate explained"))
                    return try rows.map { try $0.decode(String.self) }.joined(separator: "\n")
                }
                #expect(plan.contains(index), "\(statement.name): \(plan)")
                for table in ["connections", "token_hosts", "held_verdicts", "oauth_apps", "unclassified_answers"] {
                    #expect(!plan.contains("Seq Scan on \(table) "), "\(statement.name): \(plan)")
                }
            }
            await pool.close()
        }
    }
}
