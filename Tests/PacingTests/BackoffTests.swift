import Pacing
import Testing

@Suite struct BackoffTests {
    private let backoff = Backoff(base: .seconds(5), cap: .seconds(6 * 3600))

    @Test func `the ceiling doubles up to the cap`() {
        #expect(backoff.ceiling(failures: 1) == .seconds(5))
        #expect(backoff.ceiling(failures: 2) == .seconds(10))
        #expect(backoff.ceiling(failures: 13) == .seconds(5 * 4096))
        #expect(backoff.ceiling(failures: 14) == .seconds(6 * 3600))
    }

    @Test(arguments: [Int.min, -1, 0, 1])
    func `no failure counts as one`(failures: Int) {
        #expect(backoff.ceiling(failures: failures) == .seconds(5))
    }

    @Test func `a thousand failures overflow nothing`() {
        #expect(backoff.ceiling(failures: .max) == .seconds(6 * 3600))
    }

    @Test func `every delay lies between zero and the ceiling, and they fill it`() {
        var generator = SystemRandomNumberGenerator()
        for failures in 1...20 {
            let ceiling = backoff.ceiling(failures: failures)
            let delays = (0..<500).map { _ in backoff.delay(failures: failures, using: &generator) }
            #expect(delays.allSatisfy { $0 >= .zero && $0 <= ceiling })
            // Full jitter: uniform, so the mean of 500 lies well inside a tenth of the half.
            let mean = delays.map(\.seconds).reduce(0, +) / 500
            #expect((0.4...0.6).contains(mean / ceiling.seconds))
        }
    }

    @Test func `a base above the cap is cut to the cap`() {
        #expect(Backoff(base: .seconds(10), cap: .seconds(1)).ceiling(failures: 1) == .seconds(1))
    }
}

@Suite struct SpreadingTests {
    @Test func `a key always lands on the same fraction`() {
        #expect(Spreading.fraction(of: Array("a".utf8)) == Spreading.fraction(of: Array("a".utf8)))
    }

    @Test func `a million keys fill a hundred bins with a peak below 1.05 times the mean`() {
        var bins = [Int](repeating: 0, count: 100)
        for index in 0..<1_000_000 {
            let key = withUnsafeBytes(of: index) { Array($0) }
            bins[Int(Spreading.fraction(of: key) * 100)] += 1
        }
        #expect(Double(bins.max() ?? 0) < 1.05 * 10_000)
    }
}

@Suite struct DurationTests {
    @Test func `milliseconds are rounded up, so that a wait is never cut to nothing`() {
        #expect(Duration.microseconds(1).milliseconds == 1)
        #expect(Duration.zero.milliseconds == 0)
    }

    @Test func `nanoseconds saturate`() {
        #expect(Duration.seconds(Int64.max / 2).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min / 2).nanoseconds == .min)
    }

    @Test func `the boot-time clock moves forward`() {
        let earlier = BootInstant.now()
        #expect(BootInstant.now() >= earlier)
        #expect(earlier.advanced(by: .seconds(2)) > earlier)
        #expect(earlier.duration(to: earlier.advanced(by: .seconds(2))) == .seconds(2))
    }
}
