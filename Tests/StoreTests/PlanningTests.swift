import Credentials
import Foundation
import Pacing
import Store
import Testing

@Suite struct PlanningTests {
    private let start = Date(timeIntervalSince1970: 1_800_000_000)
    private let day = 86_400.0

    private func schedule(
        expiresIn: Double? = 3600, refreshEndsIn: Double? = nil, hasRefreshToken: Bool = true,
        idle: Duration? = nil, absolute: Duration? = nil, rules: PlanningRules = PlanningRules(), key: UUID = UUID()
    ) -> GrantSchedule {
        GrantSchedule.make(
            tokens: TokenSet(
                accessToken: Secret("a"), refreshToken: hasRefreshToken ? Secret("r") : nil,
                expiresAt: expiresIn.map { start.addingTimeInterval($0) },
                refreshExpiresAt: refreshEndsIn.map { start.addingTimeInterval($0) }),
            issuedAt: start,
            lifetimes: GrantLifetimes(
                idleLimit: idle, absoluteLimit: absolute, validateEvery: .seconds(86_400), rules: rules),
            requestedScopes: [], key: key)
    }

    private func seconds(_ date: Date?) -> Double? { date?.timeIntervalSince(start) }

    // MARK: Tiers

    @Test func `an unused grant is due between a quarter and a third of its idle limit, a used one ahead of expiry`()
        throws
    {
        for _ in 0..<200 {
            let plan = schedule(idle: .seconds(60 * 86_400))
            #expect((2520..<3240).contains(try #require(seconds(plan.refreshDueAt))))
            #expect((15 * day..<20 * day).contains(try #require(seconds(plan.keepAliveAt))))
            #expect(seconds(plan.usedSince) == -7 * day)
            #expect(seconds(plan.lostAt) == 60 * day)
        }
    }

    @Test func `a grant whose idle limit nobody knows is never left until it is used`() {
        let plan = schedule(idle: nil)
        #expect(plan.keepAliveAt == nil)
        #expect(plan.refreshDueAt != nil)
        #expect(plan.lostAt == nil)
    }

    @Test func `the refresh token's own end counts where it is nearer than the idle limit`() throws {
        let plan = schedule(refreshEndsIn: 12 * day, idle: .seconds(90 * 86_400))
        #expect((3 * day..<4 * day).contains(try #require(seconds(plan.keepAliveAt))))
        #expect(seconds(plan.lostAt) == 12 * day)
    }

    @Test func `without an idle limit the longest rest decides`() throws {
        var rules = PlanningRules()
        rules.keepAliveAtMost = .seconds(4 * 86_400)
        let plan = schedule(idle: .zero, rules: rules)
        #expect((3 * day..<4 * day).contains(try #require(seconds(plan.keepAliveAt))))
        #expect(plan.lostAt == nil)
    }

    @Test func `a third of an idle limit that is shorter than the token's life comes first, used or not`() throws {
        let plan = schedule(idle: .seconds(1800))
        #expect((450..<600).contains(try #require(seconds(plan.refreshDueAt))))
        #expect(plan.keepAliveAt == nil)
    }

    @Test(arguments: [3600.0, 1800.0, 86_400.0])
    func `a million grants made in one minute stay spread, whatever their cycle`(
        life: Double
    ) throws {
        // 200,000 stand for a million: the share of a bin does not depend on their number, its noise shrinks with it.
        let count = 200_000
        var bins = [[Int]](repeating: [Int](repeating: 0, count: 40), count: 2)
        for number in 0..<count {
            let issued = start.addingTimeInterval(60 * Double(number) / Double(count))
            var at = issued
            let key = UUID()
            for cycle in 0..<2 {
                let plan = GrantSchedule.make(
                    tokens: TokenSet(
                        accessToken: Secret("a"), refreshToken: Secret("r"), expiresAt: at.addingTimeInterval(life)),
                    issuedAt: at, lifetimes: GrantLifetimes(), requestedScopes: [], key: key)
                at = try #require(plan.refreshDueAt)
                // The band of this cycle, and the minute in which they were made.
                let low = life * 0.7 * Double(cycle + 1)
                let width = life * 0.2 * Double(cycle + 1) + 60
                bins[cycle][min(39, Int((at.timeIntervalSince(start) - low) / width * 40))] += 1
            }
        }
        for bins in bins {
            let mean = Double(count) / 40
            #expect(Double(bins.max() ?? 0) < 1.5 * mean)
        }
    }

    @Test func `unused grants made in one minute are spread over a quarter of their rest`() throws {
        var bins = [Int](repeating: 0, count: 50)
        for _ in 0..<50_000 {
            let due = try #require(seconds(schedule(idle: .seconds(60 * 86_400)).keepAliveAt))
            bins[min(49, Int((due - 15 * day) / (5 * day) * 50))] += 1
        }
        #expect(Double(bins.max() ?? 0) < 1.5 * 1000)
    }

    // MARK: Warnings

    @Test func `the first warning is the longest that is shorter than the grant's life`() {
        #expect(seconds(schedule(absolute: .seconds(365 * 86_400)).warnDueAt) == 335 * day)
        #expect(seconds(schedule(absolute: .seconds(10 * 86_400)).warnDueAt) == 3 * day)
        #expect(seconds(schedule(absolute: .seconds(7 * 86_400)).warnDueAt) == 6 * day)
        #expect(schedule(absolute: .seconds(3600)).warnDueAt == nil)
    }

    @Test func `an end that refreshing moves is warned of only within half of its life`() {
        #expect(seconds(schedule(refreshEndsIn: 100 * day).warnDueAt) == 70 * day)
        #expect(seconds(schedule(refreshEndsIn: 30 * day).warnDueAt) == 23 * day)
        #expect(seconds(schedule(refreshEndsIn: 14 * day).warnDueAt) == 13 * day)
        #expect(schedule(refreshEndsIn: 1.5 * day).warnDueAt == nil)
    }

    @Test func `an access token that nothing can renew is an end: warned of, and probed when it has come`() {
        let plan = schedule(expiresIn: 0.5 * day, hasRefreshToken: false)
        #expect(seconds(plan.endsAt) == 0.5 * day)
        #expect(seconds(plan.validateDueAt) == 0.5 * day)
        #expect(seconds(schedule(expiresIn: 60 * day, hasRefreshToken: false).warnDueAt) == 30 * day)
    }

    @Test func `a refresh that names no end leaves the row's`() {
        var plan = schedule(absolute: .seconds(365 * 86_400))
        plan.keepEnd()
        #expect(plan.endsAt == nil)
        #expect(plan.warnDueAt == nil)
    }

    // MARK: Limits and what operators set

    @Test(arguments: [(10, 600), (8, 60), (1, 60), (2, 7), (60, 3600), (3, 10)])
    func `no stretch of a limit's seconds sees more starts than it allows, whatever the pace of those who ask`(
        count: Int, seconds: Int
    ) {
        let limit = StartLimit(count: count, seconds: seconds)
        for pace in [0.01, 0.37, 1.0, 5.0, 31.0] {
            var tokens = Double(limit.burst)
            var last = 0.0
            var starts: [Double] = []
            var now = 0.0
            while now < Double(seconds) * 4 {
                tokens = min(Double(limit.burst), tokens + (now - last) * limit.rate)
                last = now
                if tokens >= 1 - 1e-9 {
                    tokens -= 1
                    starts.append(now)
                }
                now += pace
            }
            for first in starts {
                #expect(starts.filter { $0 >= first && $0 < first + Double(seconds) - 1e-6 }.count <= count)
            }
            // Nor is it much stricter than what it stands for.
            if pace <= Double(seconds) / Double(count) { #expect(starts.count >= count) }
        }
    }

    @Test func `what an operator set for an OAuth app outranks the catalog`() throws {
        let app = try AppPlanning([
            "idle_limit_seconds": "604800", "absolute_limit_seconds": "1000", "hot_for_seconds": "5",
            "refresh_limit": "10/600", "other": "x",
        ])
        let lifetimes = GrantLifetimes(idleLimit: .seconds(1), absoluteLimit: .seconds(2)).overridden(by: app)
        #expect(lifetimes.idleLimit == .seconds(604_800))
        #expect(lifetimes.absoluteLimit == .seconds(1000))
        #expect(lifetimes.rules.hotFor == .seconds(5))
        #expect(app.refreshLimit == StartLimit(count: 10, seconds: 600))
        #expect(app.grantLimit == nil)
    }

    @Test(arguments: [
        ("refresh_limit", "10"), ("refresh_limit", "0/60"), ("grant_refresh_limit", "5/0"), ("hot_for_seconds", "1h"),
        ("idle_limit_seconds", "-1"),
    ]) func `a parameter that cannot be read is named`(key: String, value: String) {
        let error = #expect(throws: InvalidValue.self) { try AppPlanning([key: value]) }
        #expect(error?.description.contains(key) == true)
    }
}
