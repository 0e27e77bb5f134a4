import Foundation
import Pacing
import Postgres
import Synchronization
import Testing

@testable import Queue

@Suite struct LimitTests {
    /// How many run at once, and the most that ever did.
    final class Gauge: Sendable {
        private let state = Mutex((now: 0, most: 0))
        func enter() {
            state.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
        }
        func leave() { state.withLock { $0.now -= 1 } }
        var most: Int { state.withLock { $0.most } }
    }

    static func job(_ keys: [String], priority: Int16 = 2, _ arguments: String = "{}") -> NewJob {
        var job = QueueFixture.job("test", arguments, priority: priority)
        job.limitKeys = keys
        return job
    }

    @Test func `no more jobs of a key run at once than its concurrency, over two runners, and all run`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "mail", concurrency: 3))
            try await fixture.queue.enqueue((0..<120).map { _ in Self.job(["mail"]) })
            let gauge = Gauge()
            let done = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                gauge.enter()
                await Task.yield()
                try await fixture.pool.execute(PostgresStatement("pause", "select pg_sleep(0.002)"))
                gauge.leave()
                done.record(job.jobID)
                return .complete
            }
            try await whileRunning(fixture.runner([handler]), fixture.runner([handler])) { await done.wait(for: 120) }
            #expect(gauge.most == 3)
            #expect(Set(done.events).count == 120)
            let inUse = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            let holds = try await fixture.count("limit_holds")
            #expect(inUse == 0 && holds == 0)
        }
    }

    @Test func `a rate that is next to nothing is refused, and the least one works`() async throws {
        try await withQueue { fixture in
            await #expect(throws: QueueError.self) {
                try await fixture.queue.setLimit(JobLimit(key: "tiny", rate: .leastNonzeroMagnitude))
            }
            try await fixture.queue.setLimit(JobLimit(key: "tiny", rate: 0.000_001))
            try await fixture.queue.setLimit(JobLimit(key: "tiny", rate: 0.000_001, burst: 2))
            let limit = try await fixture.queue.limit("tiny")
            #expect(limit?.limit.rate == 0.000_001)
        }
    }

    @Test func `jobs of one key at its limit do not hold up jobs without it`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "slow", concurrency: 0))
            try await fixture.queue.enqueue((0..<500).map { _ in Self.job(["slow"]) } + [Self.job([], #"{"free": 1}"#)])
            let done = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                done.record(job.jobID)
                return .complete
            }
            try await whileRunning(fixture.runner([handler])) { await done.wait(for: 1) }
            #expect(done.events == [501])
        }
    }

    @Test func `starts of a key keep to its rate and burst`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "api", rate: 100, burst: 5))
            try await fixture.queue.enqueue((0..<40).map { _ in Self.job(["api"]) })
            let starts = EventLog<Double>()
            let handler = ClosureHandler { _, _ in
                starts.record(Double(BootInstant.now().nanoseconds) / 1e9)
                return .complete
            }
            try await whileRunning(fixture.runner([handler]), fixture.runner([handler])) { await starts.wait(for: 40) }
            let times = starts.events.sorted()
            // The bucket is exact when it grants; a start may come later than its grant by what the machine makes of it,
            // so the whole is what can be held against the clock: 35 starts after the burst take 0.35 s.
            let whole = (times.last ?? 0) - (times.first ?? 0)
            #expect(whole >= 0.30)
        }
    }

    @Test func `a bucket grants its burst, then nothing until it has refilled`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "api", rate: 0.01, burst: 3))
            try await fixture.queue.enqueue((0..<10).map { _ in Self.job(["api"]) })
            let worker = try await fixture.worker()
            let claim = try await fixture.claim(worker)
            let first = try await fixture.admit(claim, keys: "api")
            #expect(first.filter { $0.short == nil }.count == 3)
            #expect(first.filter { $0.short == "api" }.count == 7)
            let wait = try #require(first.last?.wait)
            #expect(wait > 20 && wait <= 100)
        }
    }

    @Test func `a job with two keys starts when both have room, and waits for the one that has none`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "app", concurrency: 2))
            try await fixture.queue.setLimit(JobLimit(key: "provider", concurrency: 5))
            try await fixture.queue.enqueue(
                (0..<60).map { Self.job($0 % 2 == 0 ? ["provider", "app"] : ["provider"]) })
            let both = Gauge()
            let all = Gauge()
            let done = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                all.enter()
                if job.limitKeys.count == 2 { both.enter() }
                try await fixture.pool.execute(PostgresStatement("pause", "select pg_sleep(0.002)"))
                if job.limitKeys.count == 2 { both.leave() }
                all.leave()
                done.record(job.jobID)
                return .complete
            }
            try await whileRunning(fixture.runner([handler])) { await done.wait(for: 60) }
            #expect(both.most <= 2 && all.most <= 5)
            let inUse = try await fixture.value("select sum(in_use)::int from evergrant.limits", as: Int32.self)
            #expect(inUse == 0)
        }
    }

    @Test func `room of a worker that died comes back with the rescue of its jobs, and not before`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 2))
            try await fixture.queue.enqueue((0..<3).map { _ in Self.job(["k"]) })
            let dead = try await fixture.worker()
            let claim = try await fixture.claim(dead)
            _ = try await fixture.admit(claim, keys: "k")
            try await fixture.declareDead(dead)
            let before = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            #expect(before == 2)
            try await fixture.maintenance.rescue()
            let after = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            let holds = try await fixture.count("limit_holds")
            #expect(after == 0 && holds == 0)
        }
    }

    @Test func `asking again after a lost answer takes no more room`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 10))
            try await fixture.queue.enqueue((0..<3).map { _ in Self.job(["k"]) })
            let claim = try await fixture.claim(try await fixture.worker())
            _ = try await fixture.admit(claim, keys: "k")
            _ = try await fixture.admit(claim, keys: "k")
            let inUse = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            #expect(inUse == 3)
            try await fixture.settle(claim)
            let after = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            #expect(after == 0)
        }
    }

    @Test func `a settle that rolls back keeps its room`() async throws {
        try await withQueue { fixture in
            struct Undone: Error {}
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 1))
            try await fixture.queue.enqueue([Self.job(["k"])])
            let claim = try await fixture.claim(try await fixture.worker())
            _ = try await fixture.admit(claim, keys: "k")
            await #expect(throws: Undone.self) {
                try await fixture.pool.transaction { transaction in
                    try await fixture.settle(claim, in: transaction)
                    throw Undone()
                }
            }
            let inUse = try await fixture.value("select in_use from evergrant.limits", as: Int32.self)
            #expect(inUse == 1)
        }
    }

    @Test func `the most urgent of the waiting jobs comes first, and a newer one lines up behind them`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 0))
            try await fixture.queue.enqueue([
                Self.job(["k"], priority: 3), Self.job(["k"], priority: 1), Self.job(["k"], priority: 2),
            ])
            let worker = try await fixture.worker()
            let claim = try await fixture.claim(worker)
            try await fixture.park(claim, claim.jobs, reason: "wait", key: "k")
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 1))
            // A job that comes now finds others waiting.
            try await fixture.queue.enqueue([Self.job(["k"])])
            let late = try await fixture.claim(worker)
            let admitted = try await fixture.admit(late, keys: "k")
            #expect(admitted.first?.short == "k")
            let first = try await fixture.claimParked(worker)
            #expect(first == [2])
            let none = try await fixture.claimParked(worker)
            #expect(none == [])
        }
    }

    @Test func `a lowered limit lets nothing start until enough have ended`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 5))
            try await fixture.queue.enqueue((0..<6).map { _ in Self.job(["k"]) })
            let worker = try await fixture.worker()
            let claim = try await fixture.claim(worker)
            let admitted = try await fixture.admit(claim, keys: "k")
            try await fixture.park(
                claim, admitted.filter { $0.short != nil }.map(\.job), reason: "wait", key: "k", last: false)
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 2))
            for ended in 0..<3 {
                try await fixture.settle(claim, [claim.jobs[ended]], last: false)
                let claimed = try await fixture.claimParked(worker)
                #expect(claimed == [])
            }
            try await fixture.settle(claim, [claim.jobs[3]], last: false)
            let claimed = try await fixture.claimParked(worker)
            #expect(claimed == [6])
        }
    }

    @Test func `a block holds on the whole fleet until its time, and never shortens`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.block(limitKey: "app:1", for: .seconds(60), because: "429 of the provider")
            try await fixture.queue.block(limitKey: "app:1", for: .seconds(5), because: "429 again")
            let states = try await fixture.queue.limits()
            let state = try #require(states.first)
            #expect((state.blockedUntil?.timeIntervalSinceNow ?? 0) > 50)
            try await fixture.queue.enqueue([Self.job(["app:1"])])
            let claim = try await fixture.claim(try await fixture.worker())
            let admitted = try await fixture.admit(claim, keys: "app:1")
            #expect(admitted.first?.short == "app:1")
            #expect((admitted.first?.wait ?? 0) > 50)
        }
    }

    @Test func `a limit that is lifted lets its waiting jobs go, and its row is forgotten`() async throws {
        try await withQueue { fixture in
            try await fixture.queue.setLimit(JobLimit(key: "k", concurrency: 0))
            try await fixture.queue.enqueue((0..<20).map { _ in Self.job(["k"]) })
            let done = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                done.record(job.jobID)
                return .complete
            }
            try await whileRunning(fixture.runner([handler])) {
                try await fixture.becomes("select count(*) = 20 from evergrant.jobs_parked")
                try await fixture.queue.removeLimit("k")
                await done.wait(for: 20)
            }
            try await fixture.maintenance.forgetLimits()
            let left = try await fixture.count("limits")
            #expect(left == 0)
        }
    }

    @Test(arguments: [JobPause.kind("test"), .limitKey("k")])
    func `a pause parks what would start, and resuming runs it`(pause: JobPause) async throws {
        try await withQueue { fixture in
            try await fixture.queue.pause(pause)
            try await fixture.queue.enqueue((0..<20).map { _ in Self.job(["k"]) })
            let done = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                done.record(job.jobID)
                return .complete
            }
            try await whileRunning(fixture.runner([handler])) {
                try await fixture.becomes("select count(*) = 20 from evergrant.jobs_parked")
                #expect(done.events.isEmpty)
                let resumed = try await fixture.queue.resume(pause)
                #expect(resumed == 20)
                await done.wait(for: 20)
            }
            let attempts = try await fixture.count("jobs_finished where attempt <> 1")
            #expect(attempts == 0)
        }
    }

    @Test func `room is handed out as a model of it says, for random limits and jobs`() async throws {
        try await withQueue { fixture in
            var random = SeededGenerator(7)
            let worker = try await fixture.worker()
            for _ in 0..<20 {
                try await fixture.run("truncate evergrant.limits, evergrant.limit_holds, evergrant.jobs_ready")
                var room: [String: Int] = [:]
                for key in ["a", "b", "c"] where Bool.random(using: &random) {
                    room[key] = Int.random(in: 0...4, using: &random)
                    try await fixture.queue.setLimit(JobLimit(key: key, concurrency: room[key]))
                }
                let jobs = (0..<12).map { _ in
                    Self.job(["a", "b", "c", "d"].filter { _ in Bool.random(using: &random) })
                }
                try await fixture.queue.enqueue(jobs)
                let claim = try await fixture.claim(worker)
                let answers = try await fixture.admit(
                    claim, keys: jobs.map { $0.limitKeys.joined(separator: "\n") })
                for (job, answer) in zip(jobs, answers) {
                    let isFree = job.limitKeys.allSatisfy { room[$0].map { $0 > 0 } ?? true }
                    #expect((answer.short == nil) == isFree)
                    if isFree { for key in job.limitKeys { room[key]? -= 1 } }
                }
                let wrong = try await fixture.count(
                    "limits l where in_use <> (select count(*) from evergrant.limit_holds h where h.key = l.key)")
                #expect(wrong == 0)
                try await fixture.settle(claim)
            }
        }
    }
}

extension QueueFixture {
    /// Asks for room for the jobs of a claim, in order.
    func admit(
        _ claim: HandClaim, keys: String
    ) async throws -> [(job: Int64, short: String?, wait: Double?)] {
        try await admit(claim, keys: claim.jobs.map { _ in keys })
    }

    func admit(
        _ claim: HandClaim, keys: [String]
    ) async throws -> [(job: Int64, short: String?, wait: Double?)] {
        try await pool.execute(
            Statements.admit, [.int8(claim.lease), .int8(claim.worker), .int8Array(claim.jobs), .textArray(keys)]
        ).map { row in
            let (job, short, wait) = try row.decode(Int64.self, String?.self, Double?.self)
            return (job, short, wait)
        }
    }

    func claimParked(_ worker: Int64, want: Int32 = 10) async throws -> [Int64] {
        try await pool.execute(Statements.claimParked, [.int8(worker), .int4(want), .null]).dropFirst()
            .map { try $0["o_job", as: Int64.self] }
    }

    /// Returns when a condition in SQL holds.
    func becomes(_ condition: String) async throws {
        try await eventually { try await value(condition, as: Bool.self) }
    }
}
