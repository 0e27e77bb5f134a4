import Foundation
import Pacing
import Postgres
import Testing

@testable import Queue

@Suite(.timeLimit(.minutes(5))) struct WakeUpTests {
    /// Would poll so rarely that only a notification can bring the job before the time limit.
    private func sleepy(_ fixture: QueueFixture, _ done: EventLog<Int64>) -> JobRunner {
        let handler = ClosureHandler { job, _ in
            done.record(job.jobID)
            return .complete
        }
        return fixture.runner([handler]) { $0.pollInterval = .seconds(3600) ... .seconds(3600) }
    }

    /// Enqueues until one is heard: the listener may come up after the first.
    private func enqueueUntil(_ fixture: QueueFixture, _ done: EventLog<Int64>) async throws {
        while done.events.isEmpty {
            _ = try await fixture.enqueue(QueueFixture.job())
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test func `an enqueue wakes an idle runner, whenever its next poll is`() async throws {
        try await withQueue { fixture in
            let done = EventLog<Int64>()
            try await whileRunning(sleepy(fixture, done)) { try await enqueueUntil(fixture, done) }
            #expect(!done.events.isEmpty)
        }
    }

    @Test func `a job that comes due wakes an idle runner`() async throws {
        try await withQueue { fixture in
            let done = EventLog<Int64>()
            try await whileRunning(sleepy(fixture, done)) {
                while done.events.isEmpty {
                    _ = try await fixture.enqueue(QueueFixture.job(runAt: .now.addingTimeInterval(0.01)))
                    try await fixture.maintenance.promote()
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }
    }

    @Test func `only the first of many enqueues to one lane notifies`() async throws {
        try await withQueue { fixture in
            var heard = fixture.pool.notifications(on: [WakeUp.channel]).makeAsyncIterator()
            let first = await heard.next()
            #expect(first == .listening)
            for _ in 0..<20 { _ = try await fixture.enqueue(QueueFixture.job()) }
            try await fixture.run("select pg_notify('\(WakeUp.channel)', 'end')")
            var count = 0
            while let next = await heard.next(), next != .notification(channel: WakeUp.channel, payload: "end") {
                count += 1
            }
            #expect(count == 1)
        }
    }
}
