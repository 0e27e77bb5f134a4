import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct `Schedules of an operator` {
    private static let made = """
        insert into evergrant.queues (environment_id, name) select id, 'default' from evergrant.environments;
        insert into evergrant.job_kinds (name) values ('connection.validate');
        insert into evergrant.schedules (environment_id, name, queue, kind, args, cron, time_zone, anchor_at, next_at)
        select e.id, 'probe', q.id, k.id, '{"connection": 1}', '0 3 29 2 *', 'Europe/Berlin', now(), now() + interval '1 h'
        from evergrant.environments e, evergrant.queues q, evergrant.job_kinds k;
        """

    @Test func `a schedule is listed, shown, paused, run, resumed and removed`() async throws {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            func run(_ arguments: String...) async throws -> Program.Ending {
                try await Program.run(["schedules"] + arguments, environment: environment)
            }
            func object(_ ending: Program.Ending) throws -> [String: Any] {
                #expect(ending.status == 0, "\(ending.errors)")
                return try #require(
                    try JSONSerialization.jsonObject(with: Data(ending.output.utf8)) as? [String: Any])
            }
            _ = try await Program.run(
                ["apikeys", "create", "--environment", "test", "--create-environment", "test"], environment: environment
            )
            #expect(try await run("list").output.hasPrefix("NAME  "))
            try await database.pool().executeScript(PostgresStatement("make schedule", Self.made))
            let listed = try await run("list").output
            #expect(listed.contains("0 3 29 2 * Europe/Berlin") && listed.contains("active"), "\(listed)")
            #expect(try object(try await run("pause", "probe", "--json"))["state"] as? String == "paused")
            let job = try object(try await run("run", "probe", "--json"))["job"] as? Int
            let shown = try object(try await run("show", "probe", "--json"))
            let runs = try #require(shown["runs"] as? [[String: Any]])
            #expect(runs.count == 1 && runs.first?["job"] as? Int == job)
            let resumed = try await run("resume", "probe")
            #expect(resumed.output.contains("active, next 20"), "\(resumed.output)\(resumed.errors)")
            #expect(try await run("remove", "probe").output.contains("removed"))
            let gone = try await run("remove", "probe")
            #expect(gone.status == 64 && gone.errors.contains("evergrant schedules list"))
        }
    }

    @Test(arguments: [
        (["--kind", "mail.send", "--args", "{}", "--cron", "@daily"], "connection.validate"),
        (["--kind", "connection.validate", "--args", #"{"connection":7}"#, "--cron", "@daily"], "does not have"),
        (["--kind", "connection.validate", "--args", "{", "--cron", "@daily"], "not a JSON object"),
        (["--kind", "connection.validate", "--args", "{}"], "--every or --cron"),
        (["--kind", "connection.validate", "--args", "{}", "--every", "6"], "duration"),
        (
            ["--kind", "connection.validate", "--args", "{}", "--every", "6h", "--time-zone", "UTC"],
            "belongs to --cron"
        ),
        (["--kind", "connection.validate", "--args", "{}", "--every", "6h", "--missed", "never"], "once, all, skip"),
        (["--kind", "connection.validate", "--args", "{}", "--every", "6h", "--starts", "tomorrow"], "2026-01-31T"),
    ])
    func `what cannot be set is refused with the repair`(arguments: [String], words: String) async throws {
        try await withMigratedDatabase { database in
            let environment = ["EVERGRANT_DATABASE_URL": database.url]
            _ = try await Program.run(
                ["apikeys", "create", "--environment", "test", "--create-environment", "test"], environment: environment
            )
            let ending = try await Program.run(["schedules", "set", "x"] + arguments, environment: environment)
            #expect(ending.status == 64 && ending.errors.contains(words), "\(ending.status) \(ending.errors)")
        }
    }
}
