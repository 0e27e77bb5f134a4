import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Store
import Testing
import Vault

/// Connections in the tests of many; the whole size is run with `EVERGRANT_TEST_CROWD=10000`.
private let crowdSize = ProcessInfo.processInfo.environment["EVERGRANT_TEST_CROWD"].flatMap { Int($0) } ?? 150

/// Longest wait for what a test waits for.
private let patience: Double = crowdSize > 1000 ? 240 : 60

@Suite(.timeLimit(.minutes(10))) struct ProviderHealthTests {
    /// A minute lasts 100 ms.
    static var timings: LifecycleTimings {
        var timings = LifecycleWorld.timings
        timings.confirmAfter = .milliseconds(100)
        timings.quarantineProbe = .milliseconds(100)
        timings.health.flush = .milliseconds(10)
        timings.health.canaryBase = .milliseconds(10)
        timings.health.canaryCap = .milliseconds(100)
        timings.health.trialPeriod = .milliseconds(200)
        timings.health.recheckBase = .milliseconds(50)
        timings.health.recheckCap = .milliseconds(500)
        timings.health.ramp = .milliseconds(300)
        timings.health.faultSettle = .milliseconds(20)
        timings.health.waveHold = .seconds(3)
        timings.health.waveProbe = .milliseconds(100)
        timings.health.waveCalm = .milliseconds(500)
        return timings
    }

    // MARK: Breaker

    @Test func `five troubles in a row stop all others without a send, a failure counted or a word to a user`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let crowd = try await world.crowd(40)
            _ = crowd
            try await world.fault("5xx_before", at: "replayable", count: 1_000_000)
            try await world.makeAllDue()
            let ids = try await Attempts.claimDue(limit: 100, claim: .seconds(900), in: world.pool).map(\.id)
            let attempts = RefreshAttempts(world.services)
            for id in ids { _ = try await attempts.refresh(connectionID: id, generation: nil) }
            #expect(world.asked(.replayable) == 5)
            #expect(try await world.states() == ["degraded": 40])
            let failures = try await world.number("select sum(failures) from evergrant.connections")
            #expect(failures == 0)
            #expect(try await world.operatorEvents() == ["provider.breaker_opened"])
            // Spread: no two ask again at the same moment, none before the base.
            let moments = try await world.number("select count(distinct refresh_due_at) from evergrant.connections")
            #expect(moments == 40)
        }
    }

    @Test(arguments: ["replayable", "strict", "strict-app"])
    func `a canary that spends no rotating token closes the breaker, and all come back`(provider: String) async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let family = try await world.family(provider, 8)
            // Refused before it is read: definite trouble, so that nothing is ambiguous.
            try await world.fault("429", at: provider, count: 1_000_000)
            try await world.makeAllDue()
            let keeper = HealthKeeper(world.services)
            try await world.live(keeper) {
                try await world.operatorEvents() == ["provider.breaker_opened"]
            }
            for _ in 0..<20 { try await world.round(keeper) }
            #expect(try await world.row(family[0]).state == .degraded)
            world.removeFaults()
            try await world.live(keeper) { try await world.states() == ["active": 8] }
            try await world.live(keeper) {
                try await world.operatorEvents() == ["provider.breaker_opened", "provider.breaker_closed"]
            }
            #expect(try await world.toldToUsers() == 0)
            #expect(world.sandbox.state.grants().map(\.replays).reduce(0, +) == 0 || provider == "replayable")
            for member in family { #expect(try await world.heldRefreshTokenIsAlive(member)) }
        }
    }

    @Test func `a closing window does not wait for the breaker`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("windowed", 7)
            try await world.fault("lost_answer", at: "windowed")
            #expect(try await world.refresh(family[6]) == .ambiguous)
            // The lost answer was the first of five.
            try await world.fault("429", at: "windowed", count: 4)
            for member in family.prefix(4) { _ = try await world.refresh(member) }
            let before = world.asked(.windowed)
            guard case .trouble(.providerTrouble, _) = try await world.refresh(family[5]) else {
                Issue.record("expected to be held")
                return
            }
            #expect(world.asked(.windowed) == before)
            try await world.age(family[6], seconds: 60)
            #expect(try await world.recover(family[6]) == .refreshed)
        }
    }

    @Test func `a connection whose trouble is its own counts its failures and stops nobody`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 3)
            try await world.fault(
                "429", at: "replayable", count: 1_000_000, more: #","account":"user0@example.com""#)
            for _ in 0..<8 {
                _ = try await world.refresh(family[0])
                #expect(try await world.refresh(family[1]) == .refreshed)
            }
            #expect(try await world.row(family[0]).failures >= 6)
            #expect(try await world.operatorEvents() == [])
        }
    }

    @Test(arguments: ["replayable", "until-used", "windowed", "strict"])
    func `a day's outage breaks nothing and counts no failure`(provider: String) async throws {
        var timings = Self.timings
        // A day lasts 4 s: a minute 2.8 ms, an hour 170 ms. Access tokens live for an hour.
        timings.attemptLength = .milliseconds(600)
        timings.sendWithin = .milliseconds(300)
        timings.requestTimeout = .milliseconds(300)
        try await LifecycleWorld.with(timings: timings) { world in
            let connections =
                provider == "replayable"
                ? try await world.crowd(crowdSize, life: 2) : try await world.family(provider, 24, life: 2)
            let count = provider == "replayable" ? crowdSize : connections.count
            let keeper = HealthKeeper(world.services)
            try await world.fault("5xx_before", at: provider, count: 1_000_000_000)
            try await world.makeAllDue()
            let asked = world.asked(of: provider)
            let end = BootInstant.now().advanced(by: .seconds(4))
            while BootInstant.now() < end {
                try await world.round(keeper)
                try await Task.sleep(for: .milliseconds(5))
            }
            let sent = world.asked(of: provider) - asked
            let failures = try await world.number("select sum(failures) from evergrant.connections")
            #expect(failures == 0)
            #expect(try await world.toldToUsers() == 0)
            world.removeFaults()
            let start = BootInstant.now()
            var peak = 0.0
            var last = start
            var before = world.sandbox.state.counts().refreshes
            try await world.live(keeper, seconds: patience) {
                let now = BootInstant.now()
                let refreshes = world.sandbox.state.counts().refreshes
                peak = max(peak, Double(refreshes - before) / max(0.01, last.duration(to: now).seconds))
                before = refreshes
                last = now
                return try await world.number("select count(*) from evergrant.connections where state <> 'active'") == 0
            }
            print(
                """
                a day's outage of \(provider), \(count) connections: \(sent) requests in it, all active \
                \(start.duration(to: .now())) after it, \(Int(peak)) refreshes a second at the peak
                """)
            #expect(try await world.toldToUsers() == 0)
            let events = try await world.operatorEvents()
            #expect(events.filter { $0 == "provider.breaker_opened" }.count == 1)
        }
    }

    @Test func `those who waited come back within the ramp, few at first`() async throws {
        try await LifecycleWorld.with { world in
            let crowd = try await world.crowd(400)
            let app = try #require(crowd[0].oauthAppID)
            try await world.run(
                """
                update evergrant.connections set state = 'degraded', reason = 'provider_trouble',
                    refresh_due_at = now() + interval '1 h'
                """)
            var after: Int64? = 0
            while let last = after {
                after = try await TokenHosts.release(
                    appID: app, after: last, limit: 150, over: .seconds(100), in: world.pool)
            }
            let late = "select count(*) from evergrant.connections where refresh_due_at > now() +"
            #expect(try await world.number("\(late) interval '101 s'") == 0)
            // A quarter of them in the first half, by the square root; by chance 73 to 127 of 400.
            let secondHalf = try await world.number("\(late) interval '50 s'")
            #expect((240...350).contains(secondHalf))
        }
    }

    // MARK: Retry-After

    @Test(arguments: [("120", 119.0...121), ("2.5", 2.0...2.6), ("date", 110.0...121)])
    func `two connections told to wait stop the endpoint until then`(
        given: String, wait: ClosedRange<Double>
    ) async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 3)
            let formatter = DateFormatter()
            formatter.locale = Locale(identifier: "en_US_POSIX")
            formatter.timeZone = TimeZone(secondsFromGMT: 0)
            formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
            let value = given == "date" ? formatter.string(from: Date().addingTimeInterval(120)) : given
            try await world.fault("429", at: "replayable", count: 2, more: #","retry_after":"\#(value)""#)
            _ = try await world.refresh(family[0])
            _ = try await world.refresh(family[1])
            #expect(world.asked(.replayable) == 2)
            guard case .trouble(.providerTrouble, let until) = try await world.refresh(family[2]) else {
                Issue.record("the third was let through")
                return
            }
            #expect(world.asked(.replayable) == 2)
            // Nobody before the moment; then spread over a quarter of the ramp.
            #expect((wait.lowerBound...(wait.upperBound + 30)).contains(until.seconds))
            let failures = try await world.number("select sum(failures) from evergrant.connections")
            #expect(failures == 0)
        }
    }

    @Test func `one connection told to wait stops nobody else`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 2)
            try await world.fault("429", at: "replayable", count: 1, more: #","retry_after":"600""#)
            #expect(try await world.refresh(family[0]) == .trouble(.providerTrouble, retryIn: .seconds(600)))
            #expect(try await world.refresh(family[1]) == .refreshed)
        }
    }

    // MARK: Quarantine

    @Test func `an expired client secret: users hear nothing, the operator once, all recover with the new one`()
        async throws
    {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let crowd = try await world.crowd(crowdSize)
            let keeper = HealthKeeper(world.services)
            world.sandbox.state.register(
                client: "sandbox-client", secret: "new-secret", redirectURIs: ["http://127.0.0.1:9/oauth/callback"])
            try await world.makeAllDue()
            try await world.live(keeper, seconds: patience) { try await world.states() == ["degraded": crowdSize] }
            let asked = world.asked(.replayable)
            for _ in 0..<20 { try await world.round(keeper) }
            #expect(try await world.operatorEvents() == ["oauth_app.suspended"])
            print("expired secret: \(crowdSize) connections, \(asked) requests until all waited")

            let appID = try #require(crowd[0].oauthAppID)
            let app = try #require(try await OAuthApps.find(id: appID, in: world.pool))
            let sealed = try await world.vault.seal(
                Secret("new-secret"),
                .clientSecret(environmentID: world.environmentID, appUID: app.uid, version: app.secretVersion + 1))
            _ = try await OAuthApps.replaceSecret(
                id: appID, sealedSecret: sealed, version: app.secretVersion + 1, in: world.pool)
            let start = BootInstant.now()
            try await world.live(keeper, seconds: patience) { try await world.states() == ["active": crowdSize] }
            print("expired secret: all \(crowdSize) active \(start.duration(to: .now())) after the new one")
            #expect(try await world.operatorEvents() == ["oauth_app.suspended", "oauth_app.resumed"])
            #expect(try await world.toldToUsers() == 0)
            let failures = try await world.number("select sum(failures) from evergrant.connections")
            #expect(failures == 0)
        }
    }

    @Test func `one customer at whom the app is refused does not suspend it`() async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let family = try await world.family("strict", 4)
            let keeper = HealthKeeper(world.services)
            try await world.fault(
                "invalid_client", at: "strict", count: 1_000_000, more: #","account":"user0@example.com""#)
            for _ in 0..<4 {
                for member in family { _ = try await world.refresh(member) }
                try await keeper.turn()
            }
            #expect(try await world.operatorEvents() == [])
            #expect(try await world.row(family[0]).reason == .appFault)
            for member in family.dropFirst() { #expect(try await world.row(member).state == .active) }
        }
    }

    @Test(arguments: ["strict", "strict-app"])
    func `the only account of an app is all there is to agree`(provider: String) async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let connection = try await world.connect(provider)
            let keeper = HealthKeeper(world.services)
            try await world.fault("invalid_client", at: provider, count: 1_000_000)
            _ = try await world.refresh(connection)
            try await world.eventually {
                try await keeper.turn()
                return try await world.operatorEvents() == ["oauth_app.suspended"]
            }
            world.removeFaults()
            try await world.makeAllDue()
            try await world.live(keeper) { try await world.states() == ["active": 1] }
            let told = try await world.operatorEvents()
            #expect(told == ["oauth_app.suspended", "oauth_app.resumed"])
        }
    }

    @Test func `a second account agrees where no probe can tell`() async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            // Of class strict-app a made-up grant is never sent.
            let family = try await world.family("strict-app", 3)
            let keeper = HealthKeeper(world.services)
            try await world.fault("invalid_client", at: "strict-app", count: 2)
            _ = try await world.refresh(family[0])
            try await keeper.turn()
            #expect(try await world.operatorEvents() == [])
            _ = try await world.refresh(family[1])
            try await world.eventually {
                try await keeper.turn()
                return try await world.operatorEvents() == ["oauth_app.suspended"]
            }
            try await world.makeAllDue()
            try await world.live(keeper) { try await world.states() == ["active": 3] }
            #expect(try await world.operatorEvents() == ["oauth_app.suspended", "oauth_app.resumed"])
        }
    }

    // MARK: Waves

    @Test func `a wave of false refusals tells no user`() async throws {
        try await LifecycleWorld.with(timings: Self.longHold) { world in
            _ = try await world.crowd(crowdSize)
            let keeper = HealthKeeper(world.services)
            try await world.fault("invalid_grant", at: "replayable", count: 1_000_000_000)
            try await world.makeAllDue()
            try await world.live(keeper, seconds: patience) {
                try await world.number("select count(*) from evergrant.held_verdicts") == crowdSize
            }
            for _ in 0..<30 { try await world.round(keeper) }
            #expect(try await world.states() == ["suspected": crowdSize])
            #expect(try await world.operatorEvents() == ["provider.wave_began"])
            let shown = try await EndpointReports.inTrouble(limit: 10, in: world.pool)
            #expect(shown.map(\.held) == [min(crowdSize, 10_000)])
            #expect(shown.first?.waveUntil != nil && shown.first?.needsAttention == true)
            world.removeFaults()
            let start = BootInstant.now()
            try await world.live(keeper, seconds: patience) { try await world.states() == ["active": crowdSize] }
            print("wave of \(crowdSize) false refusals: all active \(start.duration(to: .now())) after it")
            #expect(try await world.operatorEvents() == ["provider.wave_began", "provider.wave_ended"])
            #expect(try await world.toldToUsers() == 0)
        }
    }

    /// A wave that the test outlives in no case.
    static var longHold: LifecycleTimings {
        var timings = timings
        timings.health.waveHold = .seconds(3600)
        return timings
    }

    @Test func `five users of one small app who all revoked are all told within the hold, once`() async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let family = try await world.family("strict", 5)
            let keeper = HealthKeeper(world.services)
            for grant in world.sandbox.state.grants() { _ = world.sandbox.state.revoke(grant: grant.id) }
            try await world.makeAllDue()
            let start = Date()
            try await world.live(keeper) { try await world.operatorEvents() == ["provider.wave_began"] }
            #expect(try await world.toldToUsers() == 0)
            try await world.live(keeper) {
                try await world.number("select count(*) from evergrant.held_verdicts") == 5
            }
            // Whatever becomes of this process, each is tested again before the hold is over.
            let late = try await world.number(
                """
                select count(*) from evergrant.connections c, evergrant.token_hosts h
                where c.oauth_app_id = h.oauth_app_id and c.retest_at > h.wave_until
                """)
            #expect(late == 0)
            try await world.live(keeper) { try await world.states() == ["broken": 5] }
            print("five true revocations: all told \(Date().timeIntervalSince(start)) s after, of a hold of 3 s")
            #expect(try await world.toldToUsers() == 5)
            for member in family { #expect(try await world.row(member).reason == .refused) }
            let held = try await world.number("select count(*) from evergrant.held_verdicts")
            #expect(held == 0)
        }
    }

    @Test func `others go on refreshing while verdicts are held, and one who is held may come back`() async throws {
        try await LifecycleWorld.with(timings: Self.longHold) { world in
            let family = try await world.family("strict", 7)
            let keeper = HealthKeeper(world.services)
            try await world.fault("invalid_grant", at: "strict", count: 6)
            for member in family.prefix(6) { _ = try await world.refresh(member) }
            #expect(try await world.operatorEvents() == ["provider.wave_began"])
            #expect(try await world.refresh(family[6]) == .refreshed)
            try await world.live(keeper) { try await world.states() == ["active": 7] }
            #expect(try await world.toldToUsers() == 0)
            let held = try await world.number("select count(*) from evergrant.held_verdicts")
            #expect(held == 0)
        }
    }

    // MARK: Unclassified answers

    @Test func `answers that nobody knows are kept as shapes, redacted and counted`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("strict", 3)
            let body = #"{\"error\":\"teapot\",\"error_description\":\"short of tea \#(Self.token) since 17:04\"}"#
            try await world.fault(
                "custom", at: "strict", count: 3,
                more: #","status":418,"headers":{"content-type":"application/json"},"body":"\#(body)""#)
            for member in family { _ = try await world.refresh(member) }
            try await world.services.health.tellAll()
            let found = try await UnclassifiedAnswers.list(environmentID: world.environmentID, in: world.pool)
            #expect(found.count == 1)
            #expect(found.first?.answer.seen == 3)
            #expect(found.first?.answer.code == "teapot")
            #expect(found.first?.answer.sample?.contains("short of tea") == true)
            #expect(found.first?.answer.sample?.contains(Self.token) == false)
        }
    }

    private static let token = "sbx_rt_9f8e7d6c5b4a39281706f5e4d3c2b1a0"

    @Test func `of an endpoint the newest twenty shapes stay`() async throws {
        try await LifecycleWorld.with { world in
            let app = try #require(try await world.connect("strict").oauthAppID)
            let key = TokenHostKey(appID: app, host: "a.example", isWhole: true)
            for number in 0..<25 {
                try await UnclassifiedAnswers.add(
                    [
                        UnclassifiedAnswer(
                            shape: "\(number)", status: 400, code: nil, sample: nil, requestID: nil, seen: 1)
                    ], to: key, in: world.pool)
            }
            let found = try await UnclassifiedAnswers.list(environmentID: world.environmentID, in: world.pool)
            #expect(found.count == 20)
            #expect(found.contains { $0.answer.shape == "24" } && !found.contains { $0.answer.shape == "0" })
        }
    }

    // MARK: The fleet

    @Test func `what one process sees, another obeys after its next look`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 7)
            try await world.fault("429", at: "replayable", count: 5)
            for member in family.prefix(5) { _ = try await world.refresh(member) }
            let other = world.another()
            _ = try await other.health.look()
            let result = try await RefreshAttempts(other).refresh(connectionID: family[5].id, generation: nil)
            guard case .trouble(.providerTrouble, _) = result else {
                Issue.record("the other process sent: \(result)")
                return
            }
            #expect(world.asked(.replayable) == 5)
        }
    }

    @Test func `a provider without trouble costs no row and no write`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 3)
            let keeper = HealthKeeper(world.services)
            for member in family { #expect(try await world.refresh(member) == .refreshed) }
            try await keeper.turn()
            let rows = try await world.number("select count(*) from evergrant.token_hosts")
            #expect(rows == 0)
        }
    }

    @Test func `an operator's release lets everything through at once`() async throws {
        try await LifecycleWorld.with { world in
            let family = try await world.family("replayable", 6)
            try await world.fault("429", at: "replayable", count: 5)
            for member in family.prefix(5) { _ = try await world.refresh(member) }
            let app = try #require(family[0].oauthAppID)
            let uid = try #require(try await OAuthApps.find(id: app, in: world.pool)).uid
            let released = try await HealthRelease(
                pool: world.pool, settings: HealthSettings(), logger: world.services.logger
            )
            .release(environmentID: world.environmentID, appUID: uid, host: nil)
            #expect(released == 1)
            _ = try await world.services.health.look()
            #expect(try await world.refresh(family[5]) == .refreshed)
            #expect(try await world.operatorEvents() == ["provider.breaker_opened", "provider.breaker_closed"])
        }
    }
}

extension LifecycleWorld {
    /// A second process of the fleet, as far as its health is concerned.
    func another() -> LifecycleServices {
        LifecycleServices(
            pool: pool, vault: vault, catalog: catalog, oauth: services.oauth, queue: services.queue, journal: nil,
            timings: services.timings, owner: "another", logger: services.logger)
    }
}
