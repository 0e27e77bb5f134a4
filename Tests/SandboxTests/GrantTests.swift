import Testing

@testable import Sandbox

/// The rules of tokens without HTTP, over random histories.
@Suite struct GrantTests {
    private func grant(_ providerClass: ProviderClass) -> Grant {
        Grant(id: 1, providerClass: providerClass, client: "c", account: "a", scope: "s", createdAt: 0)
    }

    @Test(arguments: ProviderClass.allCases.filter(\.isOAuth), [1, 2, 3] as [UInt64])
    func `a live grant always has a newest token that works`(providerClass: ProviderClass, seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<100 {
            var settings = ClassSettings.standard(providerClass)
            settings.windowSeconds = 10
            settings.reissue = ClassSettings.Reissue.allCases.randomElement(using: &random) ?? .newPair
            var mint = TokenMint()
            var grant = grant(providerClass)
            var now = 0.0
            var known = [grant.issue(parent: nil, scope: "s", settings: settings, now: now, mint: &mint)]
            for _ in 0..<30 {
                now += Double(Int.random(in: 0...4, using: &random))
                let pair = known.randomElement(using: &random) ?? known[0]
                if Bool.random(using: &random) {
                    _ = grant.use(access: pair.access.id, settings: settings, now: now)
                } else if case .issued(let next, let again) = grant.refresh(
                    pair.refresh.id, scope: "s", settings: settings, now: now, mint: &mint)
                {
                    known.append(next)
                    if providerClass.rotation == .once { #expect(!again) }
                }
                let alive = grant.refreshTokens.filter { $0.death == nil }
                if grant.death == nil {
                    // The newest was never spent, or stays good: a client that knows it has the grant.
                    #expect(grant.refreshTokens.last?.death == nil)
                    #expect(alive.count <= (settings.reissue == .newPair ? .max : 2))
                } else {
                    #expect(providerClass == .strictFamily)
                    #expect(alive.isEmpty && grant.accessTokens.allSatisfy { $0.death != nil })
                }
                #expect(providerClass.rotation == .never ? alive.count == 1 : true)
            }
        }
    }

    @Test func `forgetting takes the oldest dead tokens and never a live one`() {
        var mint = TokenMint()
        var grant = grant(.strict)
        let settings = ClassSettings.standard(.strict)
        var last = grant.issue(parent: nil, scope: "s", settings: settings, now: 0, mint: &mint)
        for step in 1...100 {
            guard
                case .issued(let pair, _) = grant.refresh(
                    last.refresh.id, scope: "s", settings: settings, now: Double(step), mint: &mint)
            else {
                Issue.record("the newest token was refused")
                return
            }
            last = pair
        }
        #expect(grant.refreshTokens.count == 101)
        let gone = grant.forget(keeping: 16, now: 5000)
        #expect(grant.refreshTokens.count == 16)
        #expect(grant.refreshTokens.last?.id == last.refresh.id)
        #expect(grant.accessTokens.count == 16)
        #expect(gone.count == 170)
    }
}

/// SplitMix64, so that a failing history can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
