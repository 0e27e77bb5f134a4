import Foundation
import Pacing
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct JobRunnerTests {
    @Test func `every enqueued job is performed once and completed`() async throws {
        try await withQueue { fixture in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID); return .complete
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
}
