import Foundation
import Pacing
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Queue

@Suite struct JobRunnerTests {
    @Test func `every enqueued job is performed once and completed`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    return .complete
                }
            ])
            let jobs = try await fixture.queue.enqueue((0..<500).map { _ in QueueFixture.job() })
            try await whileRunning(runner) { await log.wait(for: 500) }
            #expect(log.events.sorted() == jobs.compactMap(\.jobID).sorted())
            #expect(try await fixture.count("jobs_finished where outcome = 0 and not long") == 500)
            #expect(try await fixture.count("leases") == 0)
            #expect(try await fixture.count("lease_marks") == 0)
            #expect(try await fixture.count("workers") == 0)
        }
    }

    @Test func `two runners share the jobs, each of which runs once`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<(runner: Int, job: Int64)>()
            let runners = (0..<2).map { number in
                fixture.runner([
                    ClosureHandler { job, _ in
                        log.record((number, job.jobID))
                        try await Task.sleep(for: .milliseconds(1))
                        return job.jobID % 2 == 0 ? .complete : .snooze(.zero)
                    }
                ]) { $0.concurrency = 8 }
            }
            _ = try await fixture.queue.enqueue((0..<200).map { QueueFixture.job(key: $0 % 2 == 0 ? "\($0)" : nil) })
            try await whileRunning(runners[0], runners[1]) { await log.wait(for: 400) }
            #expect(Set(log.events.map(\.runner)) == [0, 1])
            #expect(try await fixture.count("leases") == 0)
        }
    }

    @Test func `a handler is told all about its job`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<LeasedJob>()
            let runner = fixture.runner([
                ClosureHandler("greet") { job, _ in
                    log.record(job)
                    return .complete
                }
            ])
            var job = QueueFixture.job("greet", #"{"name": "Ada"}"#, environmentID: 7, priority: 1, attempts: 3)
            job.queue = "mail"
            job.limitKeys = ["smtp"]
            let jobID = try await fixture.enqueue(job)
            try await whileRunning(runner) { await log.wait(for: 1) }
            let leased = try #require(log.events.first)
            #expect(leased.jobID == jobID && leased.kind == "greet" && leased.environmentID == 7)
            #expect(leased.queue == "mail" && leased.priority == 1 && leased.limitKeys == ["smtp"])
            #expect(leased.attempt == 1 && leased.maximumAttempts == 3 && leased.crashes == 0)
            #expect(String(decoding: leased.arguments, as: UTF8.self) == #"{"name": "Ada"}"#)
        }
    }

    @Test func `a failing job is retried until its attempts are used up, and then discarded with all its errors`()
        async throws
    {
        try await withQueue { fixture async throws in
            let log = EventLog<Int>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.attempt)
                    throw QueueError(.invalid, "attempt \(job.attempt) failed")
                }
            ])
            let jobID = try await fixture.enqueue(QueueFixture.job(attempts: 3))
            try await whileRunning(runner) {
                try await eventually {
                    try await fixture.maintenance.promote()
                    return log.events.count == 3
                }
            }
            #expect(log.events == [1, 2, 3])
            let record = try await fixture.record(jobID)
            #expect(record.state == .discarded && record.attempt == 3)
            #expect(record.errors.map(\.message) == ["attempt 1 failed", "attempt 2 failed", "attempt 3 failed"])
            #expect(record.errors.map(\.type) == ["QueueError", "QueueError", "QueueError"])
        }
    }

    @Test func `each outcome a handler returns is what becomes of its job`() async throws {
        try await withQueue { fixture async throws in
            let failure = JobFailure(type: "T", message: "m")
            let log = EventLog<String>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    let word = String(decoding: job.arguments.dropFirst().dropLast(), as: UTF8.self)
                    defer { log.record(word) }
                    return switch word {
                    case "complete": .complete
                    case "retry": .retry(error: failure, after: .seconds(3600))
                    case "snooze": .snooze(.seconds(3600))
                    case "discard": .discard(error: failure)
                    default: .cancel
                    }
                }
            ])
            let words = ["complete", "retry", "snooze", "discard", "cancel"]
            let ids = try await fixture.queue.enqueue(words.map { QueueFixture.job("test", "\"\($0)\"") })
                .compactMap(\.jobID)
            try await whileRunning(runner) { await log.wait(for: 5) }
            let states = try await ids.asyncMap { try await fixture.state($0) }
            #expect(states == [.completed, .retryable, .scheduled, .discarded, .cancelled])
        }
    }

    @Test func `a handler settles in its own transaction, and a rollback leaves the job to be retried`() async throws {
        try await withQueue { fixture async throws in
            try await fixture.run("create table effects (job bigint)")
            let effect = PostgresStatement("effect", "insert into effects values ($1)")
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, settlement in
                    defer { log.record(job.jobID) }
                    try await fixture.pool.transaction { transaction async throws in
                        try await transaction.execute(effect, [.int8(job.jobID)])
                        try await settlement.settle(.complete, in: transaction)
                        if job.attempt == 1 { throw TimedOut() }
                    }
                    return .settled
                }
            ])
            let ids = try await fixture.queue.enqueue((0..<10).map { QueueFixture.job(key: $0 < 5 ? "\($0)" : nil) })
                .compactMap(\.jobID)
            try await whileRunning(runner) {
                try await eventually {
                    try await fixture.maintenance.promote()
                    return log.events.count == 20
                }
            }
            #expect(try await fixture.value("select count(*) from effects", as: Int.self) == 10)
            #expect(try await ids.asyncMap { try await fixture.state($0) } == ids.map { _ in .completed })
            #expect(try await fixture.count("leases") == 0)
            #expect(try await fixture.count("lease_marks") == 0)
            #expect(try await fixture.count("job_keys") == 0)
        }
    }

    @Test func `a handler that says it settled and did not is found out`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.attempt)
                    return job.attempt == 1 ? .settled : .complete
                }
            ])
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await whileRunning(runner) {
                try await eventually { try await fixture.state(jobID) == .retryable }
                try await fixture.run("update evergrant.jobs_scheduled set run_at = now()")
                try await fixture.maintenance.promote()
                await log.wait(for: 2)
            }
            let record = try await fixture.record(jobID)
            #expect(record.state == .completed && record.errors.map(\.type) == ["NotSettled"])
        }
    }

    @Test func `a handler that settled alone, and whose commit was lost, gets its job again`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int>()
            let runner = fixture.runner([
                ClosureHandler { job, settlement in
                    if log.events.isEmpty {
                        // As if the commit's answer had been lost, and the commit as well.
                        try? await fixture.pool.transaction { transaction async throws in
                            try await settlement.settle(.complete, in: transaction)
                            throw TimedOut()
                        }
                    } else {
                        try await settlement.settle(.complete, in: fixture.pool)
                    }
                    log.record(job.attempt)
                    return .settled
                }
            ])
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await whileRunning(runner) { await log.wait(for: 2) }
            #expect(log.events == [1, 1])
            #expect(try await fixture.state(jobID) == .completed)
        }
    }

    @Test func `a claim whose answer was lost is noticed, and its jobs are put back without an attempt`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await fixture.queue.setPaused(true, queue: QueueName(environmentID: 1, name: "default"))
            let runner = fixture.runner([])
            try await whileRunning(runner) {
                try await eventually { runner.state.withLock { $0.workerID } != 0 }
                let worker = runner.state.withLock { $0.workerID }
                #expect(try await fixture.claim(worker).jobs == [jobID])
                try await eventually { try await fixture.state(jobID) == .available }
            }
            let record = try await fixture.record(jobID)
            #expect(record.attempt == 0 && record.errors.isEmpty)
        }
    }

    @Test func `a job of an unknown kind is snoozed with a clear error`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job("nobody-knows"))
            try await whileRunning(fixture.runner([])) {
                try await eventually { try await fixture.state(jobID) == .scheduled }
            }
            let record = try await fixture.record(jobID)
            #expect(record.attempt == 0 && record.errors.map(\.type) == ["UnknownKind"])
            #expect(record.errors[0].message.contains("nobody-knows"))
        }
    }

    @Test func `a job that used up its attempts by killing workers is discarded without being started`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job(attempts: 1))
            for _ in 0..<3 {
                let claim = try await fixture.claim(fixture.worker())
                try await fixture.declareDead(claim.worker)
                try await fixture.maintenance.rescue()
            }
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    return .complete
                }
            ])
            try await whileRunning(runner) {
                try await eventually { try await fixture.state(jobID) == .discarded }
            }
            #expect(log.events.isEmpty)
            #expect(try await fixture.queue.find(jobID)?.errors.last?.type == "PoisonJob")
        }
    }

    @Test func `a running job that is cancelled has its handler cancelled`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    try await Task.sleep(for: .seconds(60))
                    return .complete
                }
            ])
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await whileRunning(runner) {
                await log.wait(for: 1)
                #expect(try await fixture.queue.cancel(jobID) == .asked)
                try await eventually { try await fixture.state(jobID) == .cancelled }
            }
            #expect(try await fixture.count("job_cancels") == 0)
        }
    }

    @Test func `fairness gives one job its turn beside another environment's backlog`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.environmentID)
                    return .complete
                }
            ]) { $0.concurrency = 10 }
            _ = try await fixture.queue.enqueue((0..<1000).map { _ in QueueFixture.job(environmentID: 1) })
            _ = try await fixture.enqueue(QueueFixture.job(environmentID: 2))
            try await whileRunning(runner) { await log.wait(for: 1001) }
            let place = try #require(log.events.firstIndex(of: 2))
            #expect(place < 40)
        }
    }

    @Test func `a runner works without prepared statements and session settings, as behind a pooler`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int>()
            let handler = ClosureHandler { job, settlement in
                log.record(job.attempt)
                switch job.jobID % 4 {
                case 0 where job.attempt == 1: throw TimedOut()
                case 1:
                    try await settlement.settle(.complete, in: fixture.pool)
                    return .settled
                default: return .complete
                }
            }
            _ = try await fixture.queue.enqueue((0..<60).map { QueueFixture.job(key: $0 % 3 == 0 ? "\($0)" : nil) })
            try await whileRunning(fixture.runner([handler], preparing: false)) {
                try await eventually {
                    try await fixture.maintenance.promote()
                    return try await fixture.count("jobs_finished where outcome = 0") == 60
                }
            }
            #expect(log.events.count == 75)
            #expect(try await fixture.count("leases") == 0)
            #expect(try await fixture.count("job_keys") == 0)
        }
    }
}
