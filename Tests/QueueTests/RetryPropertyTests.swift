import Pacing
import Postgres
import Testing

@testable import Queue

/// What holds of every retry's wait, whatever the kind's backoff and however often the job has failed.
@Suite struct RetryPropertyTests {
    private let failure = JobFailure(type: "T", message: "m")

    private func job(attempt: Int, of most: Int) -> LeasedJob {
        LeasedJob(
            jobID: 1, kind: "test", arguments: [], environmentID: 1, queue: "default", priority: 2, attempt: attempt,
            maximumAttempts: most, crashes: 0, limitKeys: [], lease: LeaseReference(leaseID: 1, workerID: 1),
            leaseSize: 1)
    }

    @Test(arguments: [1, 2, 3, 10, 62, 63, 64, 65, 1000, Int(Int16.max) - 1])
    func `no attempt overflows, whatever the base and the cap`(attempt: Int) throws {
        let durations: [Duration] = [
            .zero, .nanoseconds(1), .milliseconds(1), .seconds(1), .seconds(86_400 * 365 * 100),
            .seconds(Int64.max / 1_000_000_000),
        ]
        for base in durations {
            for cap in durations {
                let backoff = Backoff(base: base, cap: cap)
                let settlement = try #require(
                    Settlement(
                        .retry(error: failure), of: job(attempt: attempt, of: Int(Int16.max)), backoff: backoff))
                #expect(settlement.act == 1)
                #expect(settlement.delay >= 0 && settlement.delay.isFinite)
                #expect(settlement.delay <= cap.seconds, "base \(base), cap \(cap)")
            }
        }
    }

    @Test func `the ceiling never falls from one attempt to the next and stays at the cap once there`() {
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            let backoff = Backoff(
                base: .nanoseconds(.random(in: 1...10_000_000_000, using: &generator)),
                cap: .nanoseconds(.random(in: 1...86_400_000_000_000, using: &generator)))
            var before: Duration = .zero
            for attempt in 1...200 {
                let ceiling = backoff.ceiling(failures: attempt)
                #expect(ceiling >= before && ceiling <= backoff.cap, "seed \(seed), attempt \(attempt)")
                #expect(before < backoff.cap || ceiling == backoff.cap, "seed \(seed), attempt \(attempt)")
                before = ceiling
            }
            #expect(before == backoff.cap, "seed \(seed)")
        }
    }

    /// Full jitter is uniform on 0…ceiling: chi-squared with 19 degrees of freedom is above 43.8 once in a thousand.
    @Test(arguments: [1, 3, 6, 20, 1000]) func `waits are uniform between nothing and the ceiling`(attempt: Int) {
        let backoff = Backoff(base: .seconds(2), cap: .seconds(900))
        let ceiling = backoff.ceiling(failures: attempt).seconds
        var generator = SeededGenerator(UInt64(attempt))
        var bins = [Int](repeating: 0, count: 20)
        let draws = 20_000
        for _ in 0..<draws {
            let delay = backoff.delay(failures: attempt, using: &generator).seconds
            #expect(delay >= 0 && delay <= ceiling)
            bins[min(19, Int(delay / ceiling * 20))] += 1
        }
        let mean = Double(draws) / 20
        let chi = bins.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean }
        #expect(chi < 43.8, "\(bins)")
    }

    /// A crowd that failed together must not come back together.
    @Test func `a crowd of retries spreads over its range`() {
        let backoff = Backoff(base: .seconds(2), cap: .seconds(900))
        var generator = SeededGenerator(7)
        let delays = (0..<1000).map { _ in backoff.delay(failures: 10, using: &generator).seconds }.sorted()
        let worst = zip(delays, delays.dropFirst(20)).map { $1 - $0 }.min() ?? 0
        // 20 of 1000 uniform draws over 900 s take 18 s on average; all at once would take 0.
        #expect(worst > 2)
    }

    @Test func `a wait longer than times can tell is cut to a hundred years and settles`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.pool.transaction { transaction async throws in
                try await fixture.settlement(claim, jobID).settle(.snooze(.seconds(Int64.max)), in: transaction)
            }
            #expect(try await fixture.state(jobID) == .scheduled)
        }
    }

    @Test func `the last attempt discards, every one before it retries`() throws {
        for most in 1...60 {
            for attempt in 1...(most + 3) {
                let settlement = try #require(
                    Settlement(
                        .retry(error: failure), of: job(attempt: attempt, of: most),
                        backoff: Backoff(base: .seconds(1), cap: .seconds(60))))
                #expect(settlement.act == (attempt < most ? 1 : 5))
            }
        }
    }
}
