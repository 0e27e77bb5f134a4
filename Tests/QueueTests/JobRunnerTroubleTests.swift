import Foundation
import Pacing
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Queue

@Suite struct JobRunnerTroubleTests {
    @Test func `drain lets running jobs end and claims no more`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let gate = EventLog<Void>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    await gate.wait(for: 1)
                    return .complete
                }
            ]) { $0.concurrency = 2 }
            let ids = try await fixture.queue.enqueue((0..<4).map { _ in QueueFixture.job() }).compactMap(\.jobID)
            try await whileRunning(runner) {
                await log.wait(for: 2)
                runner.drain()
                let workers = try await fixture.count("workers where not dead")
                #expect(workers == 1)
                gate.record(())
            }
            let states = try await ids.asyncMap { try await fixture.state($0) }
            #expect(states == [.completed, .completed, .available, .available])
            #expect(try await fixture.count("workers") == 0)
        }
    }

    @Test func `drain gives back, without an attempt, what does not end in time`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    try await Task.sleep(for: .seconds(60))
                    return .complete
                }
            ]) { $0.drainTimeout = .milliseconds(50) }
            let ids = try await fixture.queue.enqueue([QueueFixture.job(), QueueFixture.job(key: "k")])
                .compactMap(\.jobID)
            try await whileRunning(runner) { await log.wait(for: 2) }
            for jobID in ids {
                let record = try await fixture.record(jobID)
                #expect(record.state == .available && record.attempt == 0 && record.errors.isEmpty)
            }
            #expect(try await fixture.count("leases") == 0)
        }
    }

    @Test func `an outcome that comes after the job was given back changes nothing`() async throws {
        try await withQueue { fixture async throws in
            let began = EventLog<Int64>()
            let gate = EventLog<Void>()
            let refused = EventLog<QueueError.Code>()
            let runner = fixture.runner([
                ClosureHandler { job, settlement in
                    began.record(job.jobID)
                    // Deaf to cancellation.
                    await gate.wait(for: 1)
                    do {
                        try await settlement.settle(.complete, in: fixture.pool)
                    } catch let error as QueueError {
                        refused.record(error.code)
                        throw error
                    }
                    return .settled
                }
            ]) { $0.drainTimeout = .milliseconds(20) }
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await whileRunning(runner) {
                await began.wait(for: 1)
                runner.drain()
                try await eventually { try await fixture.state(jobID) == .available }
                gate.record(())
            }
            #expect(refused.events == [.leaseLost])
            #expect(try await fixture.state(jobID) == .available)
        }
    }

    @Test func `a runner that is killed is declared dead by an observer and its jobs are rescued`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let handler = ClosureHandler { job, _ in
                log.record(job.jobID)
                if log.events.count == 1 { try await Task.sleep(for: .seconds(60)) }
                return .complete
            }
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let killed = Task { try await fixture.runner([handler]).run() }
            await log.wait(for: 1)
            killed.cancel()
            await #expect(throws: CancellationError.self) { try await killed.value }
            #expect(try await fixture.state(jobID) == .running)

            var configuration = WorkerObserverConfiguration()
            configuration.patience = .milliseconds(300)
            configuration.interval = .milliseconds(20)
            let observer = WorkerObserver(pool: fixture.pool, configuration: configuration, logger: quiet)
            let observing = Task { try await observer.run() }
            let runner = fixture.runner([handler]) { $0.beatInterval = .milliseconds(20) }
            try await whileRunning(runner) { await log.wait(for: 2) }
            observing.cancel()
            try await observing.value
            let record = try await fixture.record(jobID)
            #expect(record.state == .completed && record.errors.map(\.type) == ["WorkerLost"])
        }
    }

    @Test func `a runner that was taken for dead takes a new identity and drops its old outcomes`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int>()
            let gate = EventLog<Void>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.crashes)
                    if job.crashes == 0 { await gate.wait(for: 1) }
                    return .complete
                }
            ]) { $0.beatInterval = .milliseconds(20) }
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "k"))
            try await whileRunning(runner) {
                await log.wait(for: 1)
                let old = runner.state.withLock { $0.workerID }
                try await fixture.declareDead(old)
                try await fixture.maintenance.rescue()
                // The new identity runs it a second time, while the first run is still going on.
                await log.wait(for: 2)
                #expect(runner.state.withLock { $0.workerID } != old)
                try await eventually { try await fixture.state(jobID) == .completed }
                gate.record(())
            }
            #expect(log.events == [0, 1])
            #expect(try await fixture.count("jobs_finished") == 1)
            #expect(try await fixture.count("leases") == 0)
        }
    }

    @Test func `outcomes wait for a database that is away and are settled when it is back`() async throws {
        try await withQueue { fixture async throws in
            let began = EventLog<Int64>()
            let gate = EventLog<Void>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    began.record(job.jobID)
                    await gate.wait(for: 1)
                    return .complete
                }
            ]) { $0.beatInterval = .milliseconds(20) }
            let ids = try await fixture.queue.enqueue((0..<20).map { QueueFixture.job(key: $0 < 10 ? "\($0)" : nil) })
                .compactMap(\.jobID)
            let administrator = PostgresPool(
                PostgresConfiguration(url: try await TestCluster.shared.url()), logger: quiet)
            let name = fixture.database.name
            try await whileRunning(runner) {
                await began.wait(for: 20)
                try await administrator.executeScript(
                    PostgresStatement(
                        "outage",
                        """
                        alter database \(name) allow_connections false;
                        select pg_terminate_backend(pid) from pg_stat_activity where datname = '\(name)';
                        """))
                gate.record(())
                // Every loop has met the outage, and the jobs have ended.
                try await eventually { runner.state.withLock { $0.ledger.unsettled } == 20 }
                try await administrator.executeScript(
                    PostgresStatement("end of outage", "alter database \(name) allow_connections true"))
                try await eventually { (try? await fixture.count("jobs_finished")) == 20 }
            }
            await administrator.close()
            #expect(began.events.count == 20)
            #expect(try await ids.asyncMap { try await fixture.state($0) } == ids.map { _ in .completed })
        }
    }

    @Test func `a runner that cannot beat starts nothing new`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    return .complete
                }
            ]) {
                $0.beatInterval = .milliseconds(20)
                $0.beatTolerance = .milliseconds(100)
            }
            try await whileRunning(runner) {
                try await eventually { runner.state.withLock { $0.workerID } != 0 }
                // Beats wait for this row's lock.
                try await fixture.pool.transaction { transaction async throws in
                    try await transaction.execute(
                        PostgresStatement("hold", "select from evergrant.workers for update"))
                    try await eventually {
                        runner.state.withLock {
                            $0.lastBeat.map { $0.duration(to: .now()) > .milliseconds(150) } ?? false
                        }
                    }
                    _ = try await fixture.enqueue(QueueFixture.job())
                    try await Task.sleep(for: .milliseconds(100))
                    #expect(log.events.isEmpty)
                }
                await log.wait(for: 1)
            }
        }
    }

    @Test func `a key held by a stranger stops neither claims nor other settles`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let gate = EventLog<Void>()
            let runner = fixture.runner([
                ClosureHandler("keyed") { job, _ in
                    log.record(job.jobID)
                    await gate.wait(for: 1)
                    return .complete
                },
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    return .complete
                },
            ]) { $0.lockTimeout = .milliseconds(20) }
            let held = try await fixture.enqueue(QueueFixture.job("keyed", key: "held"))
            try await whileRunning(runner) {
                await log.wait(for: 1)
                try await fixture.pool.transaction { stranger in
                    _ = try await fixture.queue.enqueue([QueueFixture.job("keyed", key: "held")], in: stranger)
                    gate.record(())
                    let others = try await fixture.queue.enqueue(
                        (0..<20).map { QueueFixture.job(key: $0 < 10 ? "\($0)" : nil) })
                    for other in others {
                        try await eventually { try await fixture.state(other.jobID ?? 0) == .completed }
                    }
                    #expect(try await fixture.state(held) == .running)
                }
                try await eventually { try await fixture.count("jobs_finished") == 22 }
            }
            #expect(try await fixture.count("job_keys") == 0)
        }
    }
}
