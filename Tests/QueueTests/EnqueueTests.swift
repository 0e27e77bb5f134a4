import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct EnqueueTests {
    @Test func `jobs of many queues, kinds and times are enqueued in the order given`() async throws {
        try await withQueue { fixture async throws in
            var jobs: [NewJob] = []
            for number in 0..<40 {
                var job = QueueFixture.job("kind\(number % 3)", #"{"n": \#(number)}"#, environmentID: Int64(number % 5))
                if number % 4 == 1 { job.runAt = Date(timeIntervalSinceNow: 3600) }
                if number % 4 == 2 { job.runAt = Date(timeIntervalSinceNow: -3600) }
                if number % 4 == 3 { job.uniqueKey = "key\(number)" }
                jobs.append(job)
            }
            let results = try await fixture.queue.enqueue(jobs)
            for (number, result) in results.enumerated() {
                #expect(result.outcome == .new)
                let record = try await fixture.record(result.jobID)
                #expect(String(decoding: record.arguments, as: UTF8.self) == #"{"n": \#(number)}"#)
                #expect(record.kind == "kind\(number % 3)")
                #expect(record.environmentID == Int64(number % 5))
                #expect(record.state == (number % 4 == 1 ? .scheduled : .available))
                #expect(record.attempt == 0 && record.maximumAttempts == 25)
            }
        }
    }

    @Test func `a job enqueued in a transaction is there when that commits, and not when it rolls back`() async throws {
        try await withQueue { fixture async throws in
            let kept = try await fixture.pool.transaction { transaction async throws in
                let jobID = try await fixture.queue.enqueue([QueueFixture.job()], in: transaction)[0].jobID
                #expect(try await fixture.state(jobID ?? 0) == nil)
                return jobID
            }
            #expect(try await fixture.state(kept ?? 0) == .available)
            await #expect(throws: TimedOut.self) {
                try await fixture.pool.transaction { transaction async throws in
                    try await fixture.queue.enqueue([QueueFixture.job("new-kind")], in: transaction)
                    throw TimedOut()
                }
            }
            #expect(try await fixture.count("jobs_ready") == 1)
            // The kind that was first seen in the lost transaction is known all the same.
            _ = try await fixture.enqueue(QueueFixture.job("new-kind"))
        }
    }

    @Test func `several statements without a transaction are enqueued all or not at all`() async throws {
        try await withQueue { fixture async throws in
            var bad = QueueFixture.job(key: "k")
            bad.arguments = Array("not json".utf8)
            await #expect(throws: PostgresError.self) {
                try await fixture.queue.enqueue([QueueFixture.job(), bad])
            }
            #expect(try await fixture.count("jobs_ready") == 0)
            #expect(try await fixture.queue.enqueue([]).isEmpty)
        }
    }

    static let faults: [(String, @Sendable (inout NewJob) -> Void)] = [
        ("kind", { $0.kind = "" }), ("kind", { $0.kind = String(repeating: "k", count: 201) }),
        ("queue", { $0.queue = "" }), ("maximumAttempts", { $0.maximumAttempts = 0 }),
        ("priority", { $0.priority = .max }), ("priority", { $0.priority = .min }),
        ("uniqueKey", { $0.uniqueKey = "" }),
        ("limitKeys", { $0.limitKeys = [String(repeating: "l", count: 201)] }),
    ]

    @Test(arguments: 0..<faults.count) func `a job that cannot be is refused with what is wrong`(number: Int) throws {
        let (field, change) = Self.faults[number]
        var job = QueueFixture.job()
        try job.check()
        change(&job)
        let error = #expect(throws: QueueError.self) { try job.check() }
        #expect(error?.code == .invalid)
        #expect(error?.description.contains(field) == true)
    }

    @Test func `two processes that meet a new queue at once agree on its id`() async throws {
        try await withQueue { fixture async throws in
            let queues = (0..<6).map { _ in JobQueue(pool: fixture.pool, logger: quiet) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for queue in queues {
                    group.addTask {
                        try await queue.enqueue((0..<20).map { QueueFixture.job("k\($0)", environmentID: Int64($0)) })
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.count("queues") == 20)
            #expect(try await fixture.count("job_kinds") == 20)
            #expect(try await fixture.count("jobs_ready") == 120)
        }
    }
}
