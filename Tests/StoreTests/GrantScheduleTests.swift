import Credentials
import Foundation
import Pacing
import Store
import Testing

@Suite struct GrantScheduleTests {
    private let start = Date(timeIntervalSince1970: 1_800_000_000)

    private func schedule(
        expiresIn: Double?, hasRefreshToken: Bool = true, lifetimes: GrantLifetimes = GrantLifetimes(),
        key: UUID = UUID()
    ) -> GrantSchedule {
        GrantSchedule.make(
            tokens: TokenSet(
                accessToken: Secret("a"), refreshToken: hasRefreshToken ? Secret("r") : nil,
                expiresAt: expiresIn.map { start.addingTimeInterval($0) }),
            issuedAt: start, lifetimes: lifetimes, requestedScopes: [], key: key)
    }

    @Test func `a million connections made at once come due evenly over their band`() throws {
        var bins = [Int](repeating: 0, count: 60)
        for _ in 0..<60_000 {
            let due = try #require(schedule(expiresIn: 3600).refreshDueAt).timeIntervalSince(start)
            #expect((2520...3240).contains(due))
            bins[min(59, Int((due - 2520) / 12))] += 1
        }
        #expect(Double(bins.max() ?? 0) < 1.5 * 1000)
    }

    @Test func `an absent expiry takes the catalog's, and without one the idle limit decides`() throws {
        let hour = schedule(expiresIn: nil, lifetimes: GrantLifetimes(defaultAccessLife: .seconds(3600)))
        #expect(hour.accessExpiresAt == start.addingTimeInterval(3600))
        let idle = schedule(expiresIn: nil, lifetimes: GrantLifetimes(idleLimit: .seconds(60 * 86_400)))
        #expect(idle.accessExpiresAt == nil)
        #expect((15 * 86_400..<20 * 86_400).contains(idle.refreshDueAt?.timeIntervalSince(start) ?? 0))
        #expect(idle.idleEndsAt == start.addingTimeInterval(60 * 86_400))
    }

    @Test func `nothing is due without a refresh token`() {
        #expect(schedule(expiresIn: 3600, hasRefreshToken: false).refreshDueAt == nil)
    }

    @Test func `a token that has ended on arrival is due at once`() {
        #expect(schedule(expiresIn: -5).refreshDueAt == start)
    }

    @Test func `scopes that were asked for and not granted are recorded`() {
        let schedule = GrantSchedule.make(
            tokens: TokenSet(accessToken: Secret("a"), scopes: ["read"]), issuedAt: start, lifetimes: GrantLifetimes(),
            requestedScopes: ["read", "write"], key: UUID())
        #expect(schedule.missingScopes == ["write"])
    }

    @Test func `a uid is read back from its 32 digits, and nothing else is`() {
        let uid = UUID()
        #expect(UUID(hex: uid.hex) == uid)
        #expect(ConnectionRecord.uid(publicID: "conn_\(uid.hex)") == uid)
        for text in ["", "conn_", "conn_zz", "con_\(uid.hex)", uid.hex] {
            #expect(ConnectionRecord.uid(publicID: text) == nil)
        }
    }
}
