import Foundation
import Pacing
import Testing

@testable import Queue

@Suite struct SettlementTests {
    private func job(attempt: Int, of most: Int) -> LeasedJob {
        LeasedJob(
            jobID: 1, kind: "test", arguments: [], environmentID: 1, queue: "default", priority: 2, attempt: attempt,
            maximumAttempts: most, crashes: 0, limitKeys: [], lease: LeaseReference(leaseID: 1, workerID: 1),
            leaseSize: 1)
    }
    private let failure = JobFailure(type: "T", message: "m")

    @Test func `a retry waits between nothing and the backoff's ceiling, and the last one discards`() throws {
        for _ in 0..<500 {
            let most = Int.random(in: 1...40)
            let attempt = Int.random(in: 1...45)
            let backoff = Backoff(
                base: .milliseconds(Int64.random(in: 1...5000)), cap: .seconds(Int64.random(in: 1...3600)))
            let settlement = try #require(
                Settlement(.retry(error: failure), of: job(attempt: attempt, of: most), backoff: backoff))
            #expect(settlement.act == (attempt >= most ? 5 : 1))
            #expect(settlement.note != nil)
            #expect(settlement.delay >= 0 && settlement.delay <= backoff.ceiling(failures: attempt).seconds)
        }
    }

    @Test func `the waits of many retries fill the range evenly`() throws {
        let backoff = Backoff(base: .seconds(8), cap: .seconds(3600))
        let delays = try (0..<2000).map { _ in
            try #require(Settlement(.retry(error: failure), of: job(attempt: 1, of: 9), backoff: backoff)).delay
        }
        let mean = delays.reduce(0, +) / 2000
        // Uniform on 0…8: mean 4, standard error 0.05.
        #expect(abs(mean - 4) < 0.3)
        #expect((delays.min() ?? 9) < 0.2 && (delays.max() ?? 0) > 7.8)
    }

    @Test func `a wait that is given is kept`() throws {
        let settlement = try #require(
            Settlement(
                .retry(error: failure, after: .seconds(42)), of: job(attempt: 3, of: 9),
                backoff: Backoff(base: .seconds(1), cap: .seconds(2))))
        #expect(settlement == Settlement(act: 1, delay: 42, note: failure.json))
    }

    @Test func `a message is cut at 2 KiB, between characters, and has no zero`() throws {
        let long = JobFailure(type: "T", message: String(repeating: "ä€😀", count: 1000))
        #expect(long.message.utf8.count <= 2048 && long.message.utf8.count > 2040)
        #expect(String(repeating: "ä€😀", count: 1000).hasPrefix(long.message))
        #expect(JobFailure(type: "T", message: "a\0b").message == "ab")
        #expect("é".prefix(utf8: 1).isEmpty)
        let decoded = try JSONDecoder().decode([String: String].self, from: Data(long.json))
        #expect(decoded["message"] == long.message)
    }
}
