import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct `Queue tools of an operator` {
    private let seed = """
        insert into evergrant.queues (environment_id, name) select id, 'default' from evergrant.environments;
        insert into evergrant.job_kinds (name) values ('mail.send');
        insert into evergrant.jobs_ready (id, queue, kind, priority, limit_key, args)
        select g, 1, 1, 2, 'smtp', '{}' from generate_series(501, 503) g;
        insert into evergrant.jobs_discarded
        select g, now(), evergrant.changed(
            evergrant.fresh_job(g, 1, 1, 2::smallint, 25::smallint, null, null, null, '{}'), 25, 0,
            '{"type": "TimedOut", "message": "no answer", "attempt": 25}', null)
        from generate_series(1001, 1005) g;
        insert into evergrant.workers (name, kinds, beat_at) values ('here', '{1}', now());
        """

    private func withSeed(_ body: ((_ arguments: [String]) async throws -> Program.Ending) async throws -> Void)
        async throws
    {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            func run(_ arguments: [String]) async throws -> Program.Ending {
                try await Program.run(arguments, environment: environment)
            }
            _ = try await run(["apikeys", "create", "--environment", "shop", "--create-environment", "test"])
            let pool = database.pool()
            try await pool.executeScript(PostgresStatement("seed", seed))
            await pool.close()
            try await body(run)
        }
    }

    private func json<T>(_ ending: Program.Ending, as type: T.Type) throws -> T {
        #expect(ending.status == 0, "\(ending.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? T, "\(ending.output)")
    }

    @Test func `queues, workers, limits and pauses are shown and changed, as tables and as JSON`() async throws {
        try await withSeed { run in
            let status = try json(try await run(["queues", "--json"]), as: [String: Any].self)
            let lane = try #require((status["lanes"] as? [[String: Any]])?.first)
            #expect(lane["jobs"] as? Int == 3 && lane["environment"] as? String == "shop")
            let table = try await run(["queues", "list"])
            #expect(table.output.contains("mail.send") && table.output.contains("IN LINE"), "\(table.output)")
            #expect(try await run(["queues", "pause"]).output.contains("is paused"))
            #expect(try await run(["queues"]).output.contains("(paused)"))
            #expect(try await run(["queues", "resume", "default"]).output.contains("goes on"))
            let missing = try await run(["queues", "pause", "nowhere"])
            #expect(missing.status == 64 && missing.errors.contains("does not exist"), "\(missing.errors)")

            let workers = try json(try await run(["workers", "--json"]), as: [[String: Any]].self)
            #expect(
                workers.first?["kinds"] as? [String] == ["mail.send"] && workers.first?["state"] as? String == "beats")
            #expect(try await run(["workers"]).output.contains("here"))

            #expect(try await run(["limits", "set", "smtp", "--concurrency", "0"]).output.contains("0 at a time"))
            #expect(try await run(["limits", "block", "smtp", "--for", "90s", "--because", "429"]).status == 0)
            let limit = try #require(try json(try await run(["limits", "--json"]), as: [[String: Any]].self).first)
            #expect(limit["blocked_because"] as? String == "429" && limit["concurrency"] as? Int == 0)
            #expect(try await run(["limits", "remove", "smtp"]).status == 0)
            #expect(try await run(["limits", "remove", "smtp"]).status == 64)
            #expect(try await run(["limits"]).output.contains("no limits"))
            #expect(try await run(["limits", "set", "smtp"]).status == 64)

            #expect(try await run(["pauses", "add", "--kind", "mail.send"]).output.contains("is paused"))
            #expect(try await run(["pauses", "add", "--kind", "mail.send"]).output.contains("paused before"))
            #expect(try await run(["pauses"]).output.contains("mail.send"))
            let why = try json(try await run(["jobs", "explain", "501", "--json"]), as: [String: Any].self)
            let codes = (why["reasons"] as? [[String: Any]])?.compactMap { $0["code"] as? String }
            #expect(codes == ["kind_paused", "in_line"] && why["needs_operator"] as? Bool == true)
            #expect(
                try await run(["jobs", "explain", "501"]).output.contains("evergrant pauses resume --kind mail.send"))
            #expect(try await run(["pauses", "resume", "--kind", "mail.send"]).output.contains("goes on"))
            #expect(try await run(["pauses", "resume"]).status == 64)
            #expect(try await run(["jobs", "explain", "777777"]).status == 64)
        }
    }

    @Test func `discarded jobs are previewed, retried, deleted; waiting ones cancelled`() async throws {
        try await withSeed { run in
            let selection = ["--kind", "mail.send", "--error", "TimedOut", "--since", "2h"]
            let preview = try json(
                try await run(["jobs", "retry", "--dry-run", "--json"] + selection), as: [String: Any].self)
            #expect(preview["jobs"] as? Int == 5 && preview["is_complete"] as? Bool == true)
            #expect(try await run(["jobs", "retry", "--dry-run"] + selection).output.contains("no answer"))
            let some = try await run(["jobs", "retry", "--limit", "2"] + selection)
            #expect(
                some.output.hasPrefix("2 jobs will run again; stopped at the limit"), "\(some.output)\(some.errors)")
            #expect(try await run(["jobs", "retry", "1003"]).output.contains("1 job will run again"))
            #expect(try await run(["jobs", "delete", "1004", "501"]).output.hasPrefix("1 job deleted; 1 not"))
            let rest = try json(
                try await run(["jobs", "delete", "--kind", "mail.send", "--json"]), as: [String: Any].self)
            #expect(rest["moved"] as? Int == 1 && rest["is_done"] as? Bool == true)
            let none = try await run(["jobs", "retry", "--kind", "never.was"])
            #expect(none.status == 0 && none.output.contains("0 jobs will run again"))
            #expect(try await run(["jobs", "list", "--kind", "never.was", "--json"]).output.contains("[\n\n]"))

            let cancelled = try await run(["jobs", "cancel", "501", "999999"])
            #expect(cancelled.status == 1 && cancelled.output.contains("job 501  cancelled"))
            for wrong in [
                ["retry"], ["retry", "1", "--kind", "a"], ["retry", "1", "--dry-run"], ["delete", "--error", "x"],
                ["retry", "--kind", "a", "--since", "yesterday"], ["retry", "--kind", "a", "--limit", "0"],
                ["explain"], ["explain", "1", "--key", "k"], ["cancel"],
            ] {
                let ending = try await run(["jobs"] + wrong)
                #expect(ending.status == 64, "\(wrong): \(ending.output)")
            }
        }
    }
}
