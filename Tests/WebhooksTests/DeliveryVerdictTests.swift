import Egress
import Foundation
import Pacing
import Testing

@testable import Webhooks

@Suite struct DeliveryVerdictTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let backoff = Backoff(base: .seconds(5), cap: .seconds(6 * 3600))

    private func judge(
        _ status: Int, retryAfter: String? = nil, failures: Int = 0, left: Double = 3 * 86_400
    ) -> DeliveryVerdict {
        var generator = SystemRandomNumberGenerator()
        return DeliveryVerdict.judge(
            .status(status, retryAfter: retryAfter), failures: failures, now: now,
            until: now.addingTimeInterval(left), backoff: backoff, using: &generator)
    }

    private func pause(_ verdict: DeliveryVerdict) -> Duration? {
        if case .retry(let after, _, _) = verdict { after } else { nil }
    }

    @Test func `every 2xx is a delivery, even after the time is over`() {
        for status in [200, 201, 202, 204, 299] {
            #expect(judge(status, left: -1) == .delivered(status: status))
        }
    }

    @Test func `410 means gone, whatever time is left`() {
        #expect(judge(410) == .gone)
        #expect(judge(410, left: -1) == .gone)
    }

    @Test(arguments: [300, 302, 400, 401, 404, 408, 409, 413, 429, 500, 503, 599])
    func `every other status is tried again, within the backoff of its number`(_ status: Int) throws {
        for failures in [0, 1, 5, 40] {
            let wait = try #require(pause(judge(status, failures: failures)))
            #expect(wait >= .zero && wait <= backoff.ceiling(failures: failures + 1))
        }
    }

    @Test func `a redirect says what to do about it`() {
        guard case .retry(_, 302, let error) = judge(302) else {
            Issue.record("302 was not tried again")
            return
        }
        #expect(error == "answered 302; redirects are not followed: set the URL it points to")
    }

    @Test func `Retry-After is the least wait, and the end of the tries the longest`() throws {
        for _ in 0..<100 {
            #expect(try #require(pause(judge(429, retryAfter: "3600"))) == .seconds(3600))
            #expect(try #require(pause(judge(503, retryAfter: "0"))) <= .seconds(5))
            #expect(try #require(pause(judge(503, retryAfter: "never"))) <= .seconds(5))
            #expect(try #require(pause(judge(503, retryAfter: "999999", left: 100))) == .seconds(100))
        }
    }

    @Test func `when the time is over a failure is given up`() {
        #expect(judge(500, left: 0) == .givenUp(status: 500, error: "answered 500"))
        #expect(judge(500, left: 0.001) != .givenUp(status: 500, error: "answered 500"))
        var generator = SystemRandomNumberGenerator()
        let verdict = DeliveryVerdict.judge(
            .failure(EgressFailure(.timedOut, "no answer")), failures: 9, now: now, until: now, backoff: backoff,
            using: &generator)
        #expect(verdict == .givenUp(status: nil, error: "timed_out: no answer"))
    }

    @Test func `tries are spread over three days and number a few dozen`() throws {
        for _ in 0..<20 {
            var moment = 0.0, tries = 0
            while let wait = pause(judge(500, failures: tries, left: 3 * 86_400 - moment)) {
                moment += wait.seconds
                tries += 1
                #expect(tries < 200)
            }
            #expect(abs(moment - 3 * 86_400) < 0.001)
            #expect((15...80).contains(tries))
        }
    }
}
