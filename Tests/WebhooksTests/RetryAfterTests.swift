import Foundation
import Testing

@testable import Webhooks

@Suite struct RetryAfterTests {
    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7.
    private let example = Date(timeIntervalSince1970: 784_111_777)

    @Test(arguments: [("0", 0), ("120", 120), (" 7 ", 7), ("99999999999999999999", 366 * 86_400)])
    func `seconds are a wait, of a year at most`(_ value: String, _ seconds: Int) {
        #expect(RetryAfter.duration(value, now: example) == .seconds(seconds))
    }

    @Test(arguments: [
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
    ])
    func `all three forms of an HTTP date are read`(_ value: String) {
        #expect(RetryAfter.date(value, now: example) == example)
        #expect(RetryAfter.duration(value, now: example.addingTimeInterval(-90)) == .seconds(90))
        #expect(RetryAfter.duration(value, now: example.addingTimeInterval(90)) == .zero)
    }

    @Test func `dates around leap days and epochs are right`() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800), ("Sat, 01 Mar 2104 00:00:00 GMT", 4_233_772_800),
            ("Fri, 31 Dec 2027 23:59:59 GMT", 1_830_297_599),
        ] { #expect(RetryAfter.date(text, now: example) == Date(timeIntervalSince1970: Double(seconds)), "\(text)") }
    }

    @Test func `a year of two digits is the nearest that is not over 50 years ahead`() {
        let now = Date(timeIntervalSince1970: 1_800_000_000)  // 2027
        #expect(RetryAfter.date("Sunday, 06-Nov-94 08:49:37 GMT", now: now) == example)
        #expect(
            RetryAfter.date("Friday, 31-Dec-27 23:59:59 GMT", now: now) == Date(timeIntervalSince1970: 1_830_297_599))
    }

    @Test(arguments: [
        "", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49:37 PST", "Sun, 06 Nov 1994", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "1e3",
    ])
    func `anything else is no wait`(_ value: String) {
        #expect(RetryAfter.duration(value, now: example) == nil)
    }
}
