import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct `Campaigns of an operator` {
    private static let filled = """
        insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity, state,
            grant_id)
        select e.id, 'test', 'gmail', 'google', 'user', 'u' || g, case when g < 4 then 'broken' else 'active' end,
            gen_random_uuid()
        from evergrant.environments e, generate_series(1, 5) g
        """

    private func withProgram(
        _ body: (TestDatabase, @Sendable ([String]) async throws -> Program.Ending) async throws -> Void
    ) async throws {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            _ = try await Program.run(
                ["apikeys", "create", "--environment", "test", "--create-environment", "test"], environment: environment
            )
            try await database.pool().executeScript(PostgresStatement("fill", Self.filled))
            try await body(database) { try await Program.run(["campaigns"] + $0, environment: environment) }
        }
    }

    @Test func `a campaign is previewed, started with --yes, shown, watched to its end and listed`() async throws {
        try await withProgram { database, run in
            #expect(try await run(["list"]).output.hasPrefix("no campaigns"))
            let order = ["start", "reconnect", "--integration", "gmail", "--state", "broken", "--note", "moved"]
            let preview = try await run(order)
            #expect(preview.status == 0 && preview.output.contains("would work on 3"), "\(preview.errors)")
            #expect(preview.output.contains("add --yes"))
            #expect(try await run(["list"]).output.hasPrefix("no campaigns"))
            let started = try await run(order + ["--yes"])
            #expect(started.status == 0 && started.output.contains("[....."), "\(started.errors)")
            let id = try #require(started.output.firstMatch(of: /cmp_[0-9a-f]{32}/)).0
            #expect(try await run(["pause", String(id)]).output.contains("paused"))
            #expect(try await run(["resume", String(id)]).output.contains("gathering"))
            // What schedulers and workers do.
            try await database.pool().executeScript(
                PostgresStatement(
                    "work",
                    """
                    select evergrant.gather_campaign(100);
                    select * from evergrant.admit_campaigns(10);
                    select evergrant.begin_campaign_member(1, n), evergrant.tell_reconnect(1, n)
                    from generate_series(1, 2) n;
                    select evergrant.begin_campaign_member(1, 3), evergrant.end_campaign_member(1, 3, 'trouble', 'late');
                    select * from evergrant.admit_campaigns(10);
                    """))
            let shown = try await run(["show", String(id)])
            #expect(shown.output.contains("100 %  3 of 3: 2 succeeded, 1 trouble"), "\(shown.output)\(shown.errors)")
            let watched = try await run(["watch", String(id), "--every", "100ms"])
            #expect(watched.status == 1 && watched.output.hasPrefix("finished"), "\(watched.output)")
            let members = try await run(["members", String(id), "--outcome", "trouble", "--json"])
            let rows = try #require(
                try JSONSerialization.jsonObject(with: Data(members.output.utf8)) as? [[String: Any]])
            #expect(rows.count == 1 && rows.first?["detail"] as? String == "late")
            #expect(try await run(["list"]).output.contains("finished"))
            let ended = try await run(["cancel", String(id)])
            #expect(ended.status == 64 && ended.errors.contains("finished"), "\(ended.errors)")
            let rest = try await run([
                "start", "refresh", "--of", String(id), "--outcome", "trouble", "--state", "broken",
            ])
            #expect(rest.output.contains("would work on 1"), "\(rest.output)\(rest.errors)")
        }
    }

    @Test(arguments: [
        (["start", "refresh"], "selection"), (["start", "refersh", "--all"], "did you mean \"refresh\""),
        (["start", "refresh", "--integration", "gmial"], "has \"gmial\""),
        (["start", "refresh", "--all", "--tag", "x"], "leave out all"),
        (["start", "refresh", "--all", "--rate", "5", "--yes"], "600/minute"),
        (["show", "cmp_0"], "evergrant campaigns list"), (["members", "cmp_0"], "evergrant campaigns list"),
        (["cancel", "cmp_0"], "evergrant campaigns list"), (["members", "cmp_0", "--outcome", "lost"], "succeeded"),
        (["watch", "cmp_0", "--every", "often"], "duration"),
    ])
    func `what cannot be done is refused with the repair`(arguments: [String], words: String) async throws {
        try await withProgram { _, run in
            let ending = try await run(arguments)
            #expect(ending.status == 64 && ending.errors.contains(words), "\(ending.status) \(ending.errors)")
        }
    }
}
