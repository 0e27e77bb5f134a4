import Foundation
import Testing

@testable import Queue

@Suite struct ScheduleDecisionTests {
    /// Each minute from 0.
    private let minutely = ScheduleTicks.every(microseconds: 60_000_000, anchor: 0)

    private func decide(
        _ missed: MissedPolicy, next: Double, last: Double? = nil, ends: Double? = nil, now: Double,
        every seconds: Int = 60
    ) -> ScheduleDecision {
        ScheduleDecision(
            ticks: .every(microseconds: seconds * 1_000_000, anchor: 0), next: Date(timeIntervalSince1970: next),
            last: last.map(Date.init(timeIntervalSince1970:)), ends: ends.map(Date.init(timeIntervalSince1970:)),
            now: Date(timeIntervalSince1970: now), missed: missed)
    }

    private func seconds(_ decision: ScheduleDecision) -> [Double] { decision.run.map(\.timeIntervalSince1970) }

    @Test(arguments: MissedPolicy.allCases)
    func `a tick in time runs under every policy, and several within the grace run each`(missed: MissedPolicy) {
        let one = decide(missed, next: 60, now: 60)
        #expect(seconds(one) == [60] && one.next?.timeIntervalSince1970 == 120 && !one.dropsMissed)
        let late = decide(missed, next: 60, now: 90)
        #expect(seconds(late) == [60] && late.next?.timeIntervalSince1970 == 120)
        let many = decide(missed, next: 100, now: 105.5, every: 1)
        #expect(seconds(many) == [100, 101, 102, 103, 104, 105])
        #expect(many.next?.timeIntervalSince1970 == 106 && !many.dropsMissed)
        let early = decide(missed, next: 120, now: 119.999)
        #expect(early.run.isEmpty && early.next?.timeIntervalSince1970 == 120)
    }

    @Test func `after an hour each policy does what it says`() {
        let once = decide(.once, next: 60, now: 3630)
        #expect(seconds(once) == [60] && once.next?.timeIntervalSince1970 == 3660 && once.dropsMissed)
        let all = decide(.all, next: 60, now: 3630)
        #expect(seconds(all) == stride(from: 60.0, through: 3600, by: 60).map(\.self))
        #expect(all.next?.timeIntervalSince1970 == 3660 && !all.dropsMissed)
        let skip = decide(.skip, next: 60, now: 3631)
        #expect(skip.run.isEmpty && skip.next?.timeIntervalSince1970 == 3660 && skip.dropsMissed)
        // The latest is not missed yet.
        let fresh = decide(.skip, next: 60, now: 3630)
        #expect(seconds(fresh) == [3600] && fresh.next?.timeIntervalSince1970 == 3660)
    }

    @Test func `missed ticks that all run are bounded, and the rest is dropped`() {
        let decision = decide(.all, next: 60, now: 31_536_000)
        #expect(decision.run.count == ScheduleDecision.most && decision.dropsMissed)
        #expect(seconds(decision).first == 60 && seconds(decision).last == 6000)
        #expect(decision.next?.timeIntervalSince1970 == 31_536_060.0)
    }

    @Test func `a tick that was enqueued never comes again, however far the next one is set back`() {
        for missed in MissedPolicy.allCases {
            let decision = decide(missed, next: 60, last: 600, now: 610)
            #expect(decision.run.isEmpty && decision.next?.timeIntervalSince1970 == 660)
        }
        let later = decide(.all, next: 60, last: 600, now: 780)
        #expect(seconds(later) == [660, 720, 780])
    }

    @Test func `no tick comes after the end, which itself may be one`() {
        let last = decide(.once, next: 60, ends: 60, now: 61)
        #expect(seconds(last) == [60] && last.next == nil)
        let ended = decide(.all, next: 60, ends: 179, now: 3600)
        #expect(seconds(ended) == [60, 120] && ended.next == nil)
        let over = decide(.skip, next: 120, ends: 60, now: 120)
        #expect(over.run.isEmpty && over.next == nil)
    }

    @Test func `distances count from the anchor, to the microsecond, on either side`() {
        let ticks = ScheduleTicks.every(microseconds: 50_000, anchor: 1_800_000_000_000_000)
        var date = Date(microseconds: 1_800_000_000_000_000)
        for step in 1...1000 {
            let next = ticks.next(after: date)
            #expect(next?.microseconds == 1_800_000_000_000_000 + step * 50_000)
            date = next ?? date
        }
        #expect(ticks.next(after: Date(microseconds: 5))?.microseconds == 1_800_000_000_000_000)
        #expect(ticks.next(after: Date(microseconds: 1_800_000_000_049_999))?.microseconds == 1_800_000_000_050_000)
        #expect(minutely.next(after: Date(microseconds: 60_000_000))?.microseconds == 120_000_000)
    }
}
