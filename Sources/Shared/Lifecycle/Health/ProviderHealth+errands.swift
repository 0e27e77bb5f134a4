import Pacing
import Postgres
import Store
import Synchronization

/// What follows from changes, after they are committed. What is lost here with the process comes about by itself, later:
/// who waits asks again, what is held is tested at the end of its hold.
extension ProviderHealth {
    /// Connections released by one statement.
    private static let batch = 1000

    func nextErrand() -> Errand? { work.withLock { $0.isEmpty ? nil : $0.removeFirst() } }

    /// Does all that asks for no probe.
    func bringBack() async throws {
        while let errand = nextErrand() { try await perform(errand) }
    }

    func perform(_ errand: Errand) async throws {
        let key = errand.key
        switch errand.effect {
        case .breakerOpened, .quarantined, .waveBegan, .probe: break
        case .breakerClosed: try await release(key.appID)
        case .resumed:
            if key.isWhole {
                for row in try await TokenHosts.quarantined(appID: key.appID, in: pool) where row.key != key {
                    try await change(row.key) { health, _ in
                        health.resumeWithApp()
                        return []
                    }
                }
            }
            try await release(key.appID)
        case .waveEnded(_, let why):
            let last = settings.waveDecisionSpread
            let spread = why == .patience ? last : min(settings.ramp, last)
            while try await HeldVerdicts.release(key, limit: Self.batch, over: spread, in: pool) == Self.batch {}
        case .kick(let count): try await TokenHosts.kick(appID: key.appID, limit: count, in: pool)
        case .tryHeld: _ = try await HeldVerdicts.tryOne(key, in: pool)
        }
    }

    private func release(_ appID: Int64) async throws {
        var after: Int64 = 0
        while let last = try await TokenHosts.release(
            appID: appID, after: after, limit: Self.batch, over: settings.ramp, in: pool)
        {
            after = last
        }
    }
}
