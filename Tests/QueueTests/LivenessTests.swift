import EmbeddedPostgres
import Foundation
import Logging
import Pacing
import Postgres
import Schema
import TestSupport
import Testing

@testable import Queue

/// The whole fleet's heartbeats stand still, because the database or the way to it does: nothing that still runs is
/// rescued. Real runners, observers, servers and poolers; only the times are shorter than the real ones.
///
/// Each test also asks what a comparison of the last beat's time with the clock would do at the end of the trouble: it
/// would put back every running job.
@Suite struct LivenessTests {
    /// How long a beat must stand still for its worker to be dead. A runner that lost its sessions may wait 2 s to connect.
    private static let patience: Duration = .seconds(4)
    private static let trouble: Duration = .seconds(6)
    private static let jobs = 12

    @Test func `an outage of the database that ends every session rescues nothing that still runs`() async throws {
        try await withOwnCluster { cluster, url in
            try await outlive(from: url, fleet: { PostgresPool(Self.configuration(url), logger: quiet) }) { _, _ in
                await cluster.stop()
                try await Task.sleep(for: Self.trouble)
                let again = try await cluster.start()
                #expect(again == url)
            }
        }
    }

    @Test(.enabled(if: Bouncer.program != nil, Bouncer.missing))
    func `a pooler that is paused, and breaks no session, rescues nothing that still runs`() async throws {
        try await withPooledQueue(serverConnections: 6) { pooled async throws in
            try await outlive(from: pooled.direct.database.url, fleet: { pooled.bouncer.pool() }) { check, _ in
                try await pooled.bouncer.pause()
                try await Task.sleep(for: Self.trouble)
                try await check()
                try await pooled.bouncer.resume()
            }
        }
    }

    @Test func `a server whose backends are frozen, and breaks no session, rescues nothing that still runs`()
        async throws
    {
        try await withOwnCluster { cluster, url in
            try await outlive(from: url, fleet: { PostgresPool(Self.configuration(url), logger: quiet) }) {
                check, fleet in
                try await fleet.frozen {
                    try await Task.sleep(for: Self.trouble)
                    try await check()
                }
            }
        }
    }

    private static func configuration(_ url: String) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(url: url)
        configuration.settings = JobQueue.sessionSettings
        configuration.maximumConnections = 4
        return configuration
    }

    // MARK: What each goes through

    /// Three runners with long jobs and two observers live through `trouble`, which calls `check` at its end if the
    /// database can be reached then; it is called afterwards if not.
    private func outlive(
        from direct: String, fleet pool: () -> PostgresPool,
        trouble: (_ check: () async throws -> Void, WatchedFleet) async throws -> Void
    ) async throws {
        let fleet = WatchedFleet(direct: direct, pools: (0..<5).map { _ in pool() }, patience: Self.patience)
        let began = EventLog<Int64>()
        let gate = EventLog<Void>()
        let handler = ClosureHandler { job, _ in
            began.record(job.jobID)
            await gate.wait(for: 1)
            return .complete
        }
        try await fleet.keepTimes()
        try await fleet.living(handler, concurrency: Self.jobs / 3) {
            _ = try await fleet.queue.enqueue((0..<Self.jobs).map { _ in QueueFixture.job() })
            await began.wait(for: Self.jobs)
            // Everyone is there, and beats.
            try await eventually { try await fleet.control("workers where beat >= 2") == 5 }

            var wouldRescue: Int?
            try await trouble({ wouldRescue = try await fleet.rescuedByTheClock() }, fleet)
            if let wouldRescue {
                #expect(wouldRescue == Self.jobs)
            } else {
                // A runner may have been quicker to beat than we were to ask.
                #expect(try await fleet.rescuedByTheClock() > 0)
            }

            // One who is dead in earnest: when he is declared so, the observers have watched the others as long.
            try await fleet.addDead()
            try await eventually(within: .seconds(60)) {
                try await fleet.control("workers where name = 'still' and dead") == 1
            }
            #expect(try await fleet.control("workers where dead and name <> 'still'") == 0)
            #expect(try await fleet.control("workers where name = 'worker'") == 3)
            #expect(try await fleet.control("jobs_ready") == 0)
            gate.record(())
            try await eventually { try await fleet.control("jobs_finished where outcome = 0") == Self.jobs }
        }
        #expect(began.events.count == Self.jobs)
        #expect(try await fleet.control("jobs_finished where errors is not null") == 0)
        #expect(try await fleet.control("leases") == 0)
        await fleet.close()
    }
}
