import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// A database of one's own with nothing in its queue.
func withSchedules<T: Sendable>(_ body: (QueueFixture) async throws -> T) async throws -> T {
    try await withMigratedDatabase { database in
        let fixture = QueueFixture(database)
        do {
            let result = try await body(fixture)
            await fixture.close()
            return result
        } catch {
            await fixture.close()
            throw error
        }
    }
}

extension QueueFixture {
    static func schedule(
        _ name: String = "report", _ rule: ScheduleRule = .cron("0 3 29 2 *", timeZone: "Europe/Berlin"),
        job: NewJob = job(), starts: Date? = nil, ends: Date? = nil, missed: MissedPolicy = .once,
        overlap: OverlapPolicy = .allow
    ) -> Schedule {
        Schedule(name: name, job: job, rule: rule, starts: starts, ends: ends, missed: missed, overlap: overlap)
    }

    /// The schedule, which must be there.
    func kept(_ name: String = "report") async throws -> ScheduleRecord {
        guard let record = try await queue.schedule(name, environmentID: 1) else {
            throw QueueError(.inconsistent, "no schedule \(name)")
        }
        return record
    }

    /// Makes a tick due that was to come so many seconds ago; distances count from there.
    func setBack(_ name: String = "report", seconds: Double) async throws {
        try await run(
            """
            update evergrant.schedules
            set next_at = now() - \(seconds) * interval '1 second', anchor_at = now() - \(seconds) * interval '1 second'
            where name = '\(name)'
            """)
    }

    func jobs() async throws -> Int { try await count("jobs_ready") }
}

@Suite struct ScheduleTests {
    @Test func `a schedule is kept as it was set, and found by name in its environment only`() async throws {
        try await withSchedules { fixture async throws in
            var job = QueueFixture.job("mail", #"{"a": 1}"#, priority: 3, attempts: 4)
            job.limitKeys = ["smtp"]
            job.queue = "bulk"
            let starts = Date(timeIntervalSince1970: 4_000_000_000.5)
            let schedule = QueueFixture.schedule(
                "mail.daily", .every(.seconds(90)), job: job, starts: starts, ends: starts.addingTimeInterval(1000),
                missed: .all, overlap: .skip)
            let set = try await fixture.queue.setSchedule(schedule)
            #expect(set.schedule == schedule)
            #expect(set.state == .active && set.nextAt == starts && set.lastAt == nil && set.lastJobID == nil)
            #expect(try await fixture.kept("mail.daily").schedule == schedule)
            let other = try await fixture.queue.schedule("mail.daily", environmentID: 2)
            #expect(other == nil)
            try await fixture.queue.setSchedule(QueueFixture.schedule("b", job: QueueFixture.job(environmentID: 2)))
            try await fixture.queue.setSchedule(QueueFixture.schedule("a"))
            let mine = try await fixture.queue.schedules(environmentID: 1)
            let all = try await fixture.queue.schedules(environmentID: nil)
            #expect(mine.map(\.schedule.name) == ["a", "mail.daily"])
            #expect(all.map(\.schedule.name) == ["a", "mail.daily", "b"])
            #expect(try await fixture.queue.removeSchedule("b", environmentID: 1) == false)
            #expect(try await fixture.queue.removeSchedule("b", environmentID: 2))
            #expect(try await fixture.count("schedules") == 2)
        }
    }

    @Test func `what cannot be is refused, and nothing is kept`() async throws {
        try await withSchedules { fixture async throws in
            let past = Date(timeIntervalSince1970: 1_000_000_000)
            var unique = QueueFixture.job()
            unique.uniqueKey = "k"
            var bad = QueueFixture.job()
            bad.maximumAttempts = 0
            let refused: [(Schedule, String)] = [
                (QueueFixture.schedule(""), "a name has"), (QueueFixture.schedule("Daily"), "a name has"),
                (QueueFixture.schedule("a/b"), "a name has"), (QueueFixture.schedule("-a"), "a name has"),
                (QueueFixture.schedule(String(repeating: "a", count: 101)), "a name has"),
                (QueueFixture.schedule("a", .every(.milliseconds(999))), "needs at least"),
                (QueueFixture.schedule("a", .every(.zero)), "needs at least"),
                (QueueFixture.schedule("a", .every(.seconds(-5))), "needs at least"),
                (QueueFixture.schedule("a", .every(.microseconds(1_500_500))), "whole number of milliseconds"),
                (QueueFixture.schedule("a", .every(.seconds(Int64.max))), "at most five years"),
                (QueueFixture.schedule("a", .cron("61 * * * *")), "minute \"61\""),
                (QueueFixture.schedule("a", .cron("* * * * *", timeZone: "Mars/Base")), "Mars/Base"),
                (QueueFixture.schedule("a", .cron("0 0 30 2 *")), "no time within five years"),
                (QueueFixture.schedule("a", starts: past, ends: past), "ends before it starts"),
                (QueueFixture.schedule("a", starts: .distantPast), "outside the years"),
                (QueueFixture.schedule("a", job: unique), "unique key"),
                (QueueFixture.schedule("a", job: QueueFixture.job(runAt: past)), "has a time"),
                (QueueFixture.schedule("a", job: bad), "maximumAttempts"),
            ]
            for (schedule, words) in refused {
                let error = await #expect(throws: QueueError.self) { try await fixture.queue.setSchedule(schedule) }
                #expect(error?.code == .invalid)
                #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
            }
            #expect(try await fixture.count("schedules") == 0)
        }
    }

    @Test func `set again as it is, a schedule keeps its ticks; with another rule it begins anew`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule())
            try await fixture.setBack(seconds: 5)
            let due = try await fixture.kept().nextAt
            let same = try await fixture.queue.setSchedule(
                QueueFixture.schedule(job: QueueFixture.job("other"), missed: .all))
            #expect(same.nextAt == due && same.schedule.job.kind == "other")
            let changed = try await fixture.queue.setSchedule(QueueFixture.schedule("report", .every(.seconds(60))))
            let next = try #require(changed.nextAt)
            #expect(next > changed.now && next <= changed.now.addingTimeInterval(60))
            let fresh = try await fixture.queue.setSchedule(QueueFixture.schedule("fresh", .every(.seconds(60))))
            let first = try #require(fresh.nextAt).timeIntervalSince1970
            #expect(first == first.rounded())
            #expect(try await fixture.count("schedules") == 2)
            // One that is over is kept as ended.
            let over = try await fixture.queue.setSchedule(
                QueueFixture.schedule(starts: Date(timeIntervalSince1970: 0), ends: Date(timeIntervalSince1970: 9e8)))
            #expect(over.state == .ended && over.nextAt == nil)
        }
    }

    @Test func `many that set one name at once make one schedule`() async throws {
        try await withSchedules { fixture async throws in
            try await withThrowingTaskGroup(of: Int64.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await fixture.queue.setSchedule(QueueFixture.schedule()).id }
                }
                let ids = try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
                #expect(ids.count == 1)
            }
        }
    }

    @Test func `a paused schedule does not tick, and goes on without the ticks of its pause`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule("report", .every(.seconds(60)), missed: .all))
            try await fixture.setBack(seconds: 300)
            let paused = try await fixture.queue.setSchedulePaused(true, name: "report", environmentID: 1)
            #expect(paused?.state == .paused && paused?.nextAt == nil)
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.run() == 0)
            // Setting it does not wake it.
            let set = try await fixture.queue.setSchedule(QueueFixture.schedule())
            #expect(set.state == .paused && set.nextAt == nil)
            let resumed = try await fixture.queue.setSchedulePaused(false, name: "report", environmentID: 1)
            let next = try #require(resumed?.nextAt)
            #expect(resumed?.state == .active && next > (resumed?.now ?? .distantFuture))
            #expect(try await runner.run() == 0)
            #expect(try await fixture.jobs() == 0)
            // Resuming what is not paused changes nothing.
            let again = try await fixture.queue.setSchedulePaused(false, name: "report", environmentID: 1)
            #expect(again?.nextAt == next)
            let missing = try await fixture.queue.setSchedulePaused(true, name: "none", environmentID: 1)
            #expect(missing == nil)
        }
    }

    @Test func `a run by hand enqueues at once and leaves the ticks as they are`() async throws {
        try await withSchedules { fixture async throws in
            let set = try await fixture.queue.setSchedule(
                QueueFixture.schedule(job: QueueFixture.job("mail", #"{"a": 1}"#), overlap: .skip))
            _ = try await fixture.queue.setSchedulePaused(true, name: "report", environmentID: 1)
            let jobID = try #require(try await fixture.queue.runScheduleNow("report", environmentID: 1))
            let job = try await fixture.record(jobID)
            #expect(job.kind == "mail" && job.state == .available && job.environmentID == 1)
            let kept = try await fixture.kept()
            #expect(kept.lastJobID == jobID && kept.lastAt == nil && kept.state == .paused)
            let runs = try await fixture.queue.runs(of: set)
            #expect(runs.map(\.jobID) == [jobID] && runs.allSatisfy(\.isManual))
            // No overlap, by hand either.
            let error = await #expect(throws: QueueError.self) {
                try await fixture.queue.runScheduleNow("report", environmentID: 1)
            }
            #expect(error?.code == .overlap)
            _ = try await fixture.queue.cancel(jobID)
            #expect(try await fixture.queue.runScheduleNow("report", environmentID: 1) != nil)
            let missing = try await fixture.queue.runScheduleNow("report", environmentID: 2)
            #expect(missing == nil)
        }
    }
}
