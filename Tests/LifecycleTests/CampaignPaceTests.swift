import Credentials
import Foundation
import Jobs
import Lifecycle
import LifecycleSupport
import Logging
import Postgres
import Queue
import Store
import Synchronization
import Testing

/// How campaigns are admitted, held and ended. The connections have no credentials: what comes of them does not matter.
@Suite struct CampaignPaceTests {
    /// Ends members as a worker would, without an attempt.
    private func finish(_ members: some Sequence<(campaign: Int64, place: Int64)>, in world: LifecycleWorld)
        async throws
    {
        for member in members {
            _ = try await CampaignMembers.begin(campaign: member.campaign, place: member.place, in: world.pool)
            try await CampaignMembers.end(
                campaign: member.campaign, place: member.place, outcome: .succeeded, detail: nil, in: world.pool)
        }
    }

    @Test func `a campaign of any size has no more than its window in line, all of it in the bulk lane`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 8)
            try await campaigns.fill(1000, identities: 1000)
            try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.gather()
            for _ in 0..<5 { try await campaigns.planner.admit() }
            #expect(try await campaigns.admitted().count == 8)
            let depths = try await world.services.queue.depths()
            #expect(depths.map(\.priority) == [Lane.bulk.rawValue] && depths.map(\.jobs) == [8])
            // As members end, others take their places.
            try await finish(try await campaigns.admitted().prefix(3), in: world)
            #expect(try await campaigns.planner.admit() == 3)
            #expect(try await campaigns.admitted().count == 8)
        }
    }

    @Test func `a due refresh is performed before the campaign jobs that were in line first`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 8)
            try await campaigns.fill(40, identities: 40)
            try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.gather()
            #expect(try await campaigns.planner.admit() == 8)
            try await campaigns.run(
                "update evergrant.connections set refresh_due_at = now() - interval '1 s' where id = 40")
            #expect(try await LifecyclePlanner(world.services).planRefreshes() == 1)
            let kinds = Order()
            var configuration = JobRunnerConfiguration()
            configuration.concurrency = 1
            let runner = JobRunner(
                queue: world.services.queue, pool: world.pool,
                handlers: [
                    RecordingHandler(kind: RefreshConnection.kind, order: kinds),
                    RecordingHandler(kind: CampaignMemberJob.kind, order: kinds),
                ], configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runner.run() }
                try await world.eventually { kinds.all.count == 9 }
                group.cancelAll()
            }
            #expect(kinds.all.first == RefreshConnection.kind, "\(kinds.all)")
        }
    }

    @Test func `campaigns without a rate share the window evenly, and one that begins later gets its half`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 10)
            try await campaigns.fill(100, identities: 100)
            let first = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.gather()
            #expect(try await campaigns.planner.admit() == 10)
            let second = try await campaigns.start("validate", #"{"all": true}"#)
            try await campaigns.gather()
            #expect(try await campaigns.planner.admit() == 5)
            for _ in 0..<6 {
                try await finish(try await campaigns.admitted(), in: world)
                try await campaigns.planner.admit()
            }
            let counts = try await campaigns.admitted().reduce(into: [Int64: Int]()) {
                $0[$1.campaign, default: 0] += 1
            }
            #expect(counts.values.sorted() == [5, 5])
            let (one, two) = (try await campaigns.sight(first), try await campaigns.sight(second))
            #expect(one[.succeeded] == 35 && two[.succeeded] == 30, "\(one.outcomes) \(two.outcomes)")
        }
    }

    @Test func `a rate admits so many a second and no burst beyond one second's, whoever else runs`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 100)
            try await campaigns.fill(100, identities: 100)
            let campaign = try await campaigns.start("refresh", #"{"all": true}"#, rate: "10/second")
            try await campaigns.gather()
            func pass(_ seconds: Double) async throws -> Int {
                try await campaigns.run(
                    """
                    update evergrant.campaigns set credit = least(credit, 0),
                        credited_at = clock_timestamp() - make_interval(secs => \(seconds))
                    """)
                let count = try await campaigns.planner.admit()
                try await finish(try await campaigns.admitted(), in: world)
                return count
            }
            #expect(try await pass(0.55) == 5)
            #expect(try await pass(3600) == 10)
            let slow = try await campaigns.start("validate", #"{"all": true}"#, rate: "5/hour")
            try await campaigns.gather()
            try await campaigns.run("update evergrant.campaigns set credit = 0, credited_at = clock_timestamp()")
            #expect(try await campaigns.planner.admit() == 0)
            #expect(try await campaigns.sight(slow)[.queued] == 100)
            #expect(try await campaigns.sight(campaign)[.succeeded] == 15)
        }
    }

    @Test func `a paused campaign begins nothing more, and goes on where it was`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 4)
            try await campaigns.fill(6, identities: 6)
            let campaign = try await campaigns.start("validate", #"{"all": true}"#)
            try await campaigns.gather()
            try await campaigns.planner.admit()
            try await campaigns.control(.pause, campaign)
            try await campaigns.control(.pause, campaign)
            // Its jobs are in line; they give their members back.
            try await campaigns.runAdmitted()
            #expect(try await campaigns.planner.admit() == 0)
            let held = try await campaigns.sight(campaign)
            #expect(held.state == "paused" && held[.queued] == 6, "\(held)")
            try await campaigns.control(.resume, campaign)
            for _ in 0..<3 {
                try await campaigns.planner.admit()
                try await finish(try await campaigns.admitted(), in: world)
            }
            let end = try await campaigns.sight(campaign)
            #expect(end.state == "finished" && end[.succeeded] == 6, "\(end)")
            let audited = try await campaigns.count(
                "select count(*) from evergrant.audit where action like 'campaign.%' and actor = 'cli'")
            #expect(audited == 3)
            await #expect(throws: CampaignError.self) { try await campaigns.control(.pause, campaign) }
        }
    }

    @Test func `a cancelled campaign skips what waits, lets what runs end, and counts each member once`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 4)
            try await campaigns.fill(10, identities: 10)
            let campaign = try await campaigns.start("validate", #"{"all": true}"#)
            try await campaigns.gather()
            try await campaigns.planner.admit()
            let running = try #require(try await campaigns.admitted().first)
            _ = try await CampaignMembers.begin(campaign: running.campaign, place: running.place, in: world.pool)
            try await campaigns.control(.cancel, campaign)
            _ = try await campaigns.planner.tend()
            _ = try await campaigns.planner.tend()
            #expect(try await campaigns.sight(campaign).state == "cancelling")
            try await CampaignMembers.end(
                campaign: running.campaign, place: running.place, outcome: .succeeded, detail: nil, in: world.pool)
            _ = try await campaigns.planner.tend()
            let end = try await campaigns.sight(campaign)
            #expect(end.state == "cancelled" && end[.succeeded] == 1 && end[.skipped] == 9 && end.counted == 10)
            // Its jobs are still in line; they find nothing to do.
            _ = try await campaigns.work.perform(
                campaign: running.campaign, place: 2, environmentID: world.environmentID)
            #expect(try await campaigns.sight(campaign).counted == 10)
        }
    }

    @Test func `a snapshot survives its scheduler, and connections made later are no members`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, batch: 10)
            try await campaigns.fill(35, identities: 35)
            let campaign = try await campaigns.start("validate", #"{"all": true}"#)
            #expect(try await campaigns.planner.gather())
            #expect(try await campaigns.sight(campaign).members == 10)
            try await campaigns.fill(20, identities: 20)
            // Another scheduler.
            try await CampaignWorld(world, batch: 10).gather()
            let gathered = try await campaigns.sight(campaign)
            #expect(gathered.state == "running" && gathered.members == 35)
            #expect(try await campaigns.members(campaign, .queued).map(\.place) == Array(1...35))
        }
    }

    @Test func `four schedulers and four workers at once work each member once`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, inFlight: 16, batch: 20)
            try await campaigns.fill(120, identities: 120)
            let all = [
                try await campaigns.start("validate", #"{"all": true}"#),
                try await campaigns.start("refresh", #"{"identity_type": "user"}"#),
            ]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask { try await campaigns.gather() }
                }
                try await group.waitForAll()
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<400 {
                            try await campaigns.planner.admit()
                            try await finish(try await campaigns.admitted().shuffled(), in: world)
                            let open = try await campaigns.count(
                                "select count(*) from evergrant.campaigns where state <> 'finished'")
                            if open == 0 { return }
                        }
                    }
                }
                try await group.waitForAll()
            }
            for campaign in all {
                let end = try await campaigns.sight(campaign)
                #expect(end.state == "finished" && end[.succeeded] == 120 && end.counted == 120, "\(end)")
            }
        }
    }

    @Test func `a member whose job vanished is admitted again, and after three losses it is trouble`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            try await campaigns.fill(2, identities: 2)
            let campaign = try await campaigns.start("validate", #"{"all": true}"#)
            try await campaigns.gather()
            for loss in 1...3 {
                try await campaigns.planner.admit()
                _ = try await CampaignMembers.begin(campaign: 1, place: 1, in: world.pool)
                #expect(try await campaigns.sight(campaign)[.running] == 1, "loss \(loss)")
                try await campaigns.run("update evergrant.campaign_members set admitted_at = now() - interval '1 h'")
                _ = try await campaigns.planner.tend()
            }
            #expect(try await campaigns.members(campaign, .trouble).map(\.detail) == ["job_lost"])
            // The other one never began: it waits as long as it takes.
            #expect(try await campaigns.members(campaign, .queued).map(\.place) == [2])
        }
    }

    @Test func `members of campaigns that ended long ago are deleted, and their counts stay`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            try await campaigns.fill(3, identities: 3)
            let campaign = try await campaigns.start("validate", #"{"all": true}"#)
            try await campaigns.gather()
            try await campaigns.planner.admit()
            try await finish(try await campaigns.admitted(), in: world)
            try await campaigns.planner.admit()
            #expect(try await campaigns.planner.prune() == false)
            try await campaigns.run("update evergrant.campaigns set ended_at = now() - interval '31 days'")
            while try await campaigns.planner.prune() {}
            #expect(try await campaigns.members(campaign, .succeeded).isEmpty)
            #expect(try await campaigns.sight(campaign)[.succeeded] == 3)
            await #expect(throws: InvalidValue.self) {
                try await campaigns.start("validate", #"{"campaign": "\#(campaign.id)"}"#)
            }
        }
    }
}

/// The kinds of jobs in the order of their runs.
private final class Order: Sendable {
    private let kinds = Mutex<[String]>([])
    var all: [String] { kinds.withLock { $0 } }
    func add(_ kind: String) { kinds.withLock { $0.append(kind) } }
}

private struct RecordingHandler: JobHandler {
    let kind: String
    let order: Order

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        order.add(kind)
        return .complete
    }
}
