import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Queue
import Store
import Testing

/// Schedulers as processes: no leader, so no death is noticed.
@Suite(.serialized) struct SchedulerKilledTests {
    @Test func `every tick is enqueued once though schedulers are killed and replaced`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            let job = NewJob(
                kind: "connection.validate", arguments: Array(#"{"connection":\#(connection.id)}"#.utf8),
                environmentID: connection.environmentID)
            try await world.services.queue.setSchedule(
                Schedule(name: "probe", job: job, rule: .every(.seconds(1)), missed: .all))
            func count(_ what: String) async throws -> Int {
                let rows = try await world.pool.execute(
                    PostgresStatement("count", "select count(\(what)) from evergrant.schedule_ticks"))
                return try rows.first?.decode(Int.self) ?? 0
            }
            let worker = try FleetProcess("worker", in: world)
            let lasting = try FleetProcess("scheduler", in: world)
            var doomed = try FleetProcess("scheduler", in: world)
            for seen in [2, 4, 6] {
                try await world.eventually { try await count("*") >= seen }
                doomed.kill()
                doomed = try FleetProcess("scheduler", in: world)
            }
            try await world.eventually { try await count("*") >= 8 }
            doomed.stop()
            lasting.stop()
            // By now nobody ticks: as many ticks as seconds, each with a job of its own, and all of them run.
            let seconds = try await world.pool.execute(
                PostgresStatement(
                    "span",
                    "select (extract(epoch from max(tick) - min(tick)) + 1)::bigint from evergrant.schedule_ticks")
            ).first?.decode(Int.self)
            let ticks = try await count("*")
            #expect(seconds == ticks, "\(lasting.output)")
            #expect(try await count("distinct job_id") == ticks)
            try await world.eventually {
                let rows = try await world.pool.execute(
                    PostgresStatement(
                        "done",
                        """
                        select count(*) from evergrant.schedule_ticks t join evergrant.jobs_finished f using (job_id)
                        where f.outcome = 0
                        """))
                return try rows.first?.decode(Int.self) == ticks
            }
            worker.stop()
        }
    }
}
