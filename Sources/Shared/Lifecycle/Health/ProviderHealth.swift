import Credentials
import Foundation
import Logging
import Metrics
import OAuth
import Pacing
import Postgres
import Store
import Synchronization

/// Trouble at a provider is not trouble of a user: this process's part in the fleet's breakers, quarantines and waves.
///
/// Attempts ask it before they send and tell it what came of it. It counts in memory, tells the fleet about once a
/// second, at once when it could change what is done, and knows what the others told from a look at the rows that are
/// not at rest, which in a healthy world are none. A process that dies loses a second of counts and no decision.
package final class ProviderHealth: Sendable {
    /// Something to be done after a change is committed, by whoever keeps this process's health.
    struct Errand: Sendable {
        let key: TokenHostKey
        let effect: HealthEffect
    }

    let pool: PostgresPool
    package let settings: HealthSettings
    let logger: Logger
    let tallies = Mutex<[TokenHostKey: EndpointTally]>([:])
    /// The rows that are not at rest, as last read or written.
    let view = Mutex<[TokenHostKey: HostHealth]>([:])
    let work = Mutex<[Errand]>([])

    package init(pool: PostgresPool, settings: HealthSettings, logger: Logger) {
        self.pool = pool
        self.settings = settings
        self.logger = logger
    }

    /// What is known here of an endpoint; nil: it is at rest.
    package func known(_ key: TokenHostKey) -> HostHealth? { view.withLock { $0[key] } }

    /// Whether an attempt may send. Costs a look in memory while nothing is wrong.
    /// - Parameter suspendedSince: as the app's own row says, read with the mark.
    func admit(_ endpoint: TokenEndpoint, at now: Date, suspendedSince: Date?) async throws -> Admission {
        for key in endpoint.keys.reversed() {
            var health = known(key)
            if key.isWhole, suspendedSince != nil, health?.quarantinedAt == nil {
                health = try await change(key) { health, row in
                    if let since = row.appSuspendedAt { health.adoptSuspension(since: since, at: row.now) }
                    return []
                }
            }
            guard let health else { continue }
            switch health.gate(at: now) {
            case .pass: continue
            case .trial:
                let claimed = Mutex(false)
                _ = try await change(key) { health, _ in
                    let isOurs = health.claimTrial()
                    claimed.withLock { $0 = isOurs }
                    return []
                }
                if claimed.withLock({ $0 }) { return .trial }
                return held(health.quarantinedAt == nil ? .providerTrouble : .appFault, since: now, at: now)
            case .blocked(let until):
                let extra = settings.ramp.seconds * Double.random(in: 0...1) / 4
                count(.providerTrouble)
                return .wait(.providerTrouble, .seconds(until.timeIntervalSince(now) + extra))
            case .open(let since): return held(.providerTrouble, since: since, at: now)
            case .quarantined(let since): return held(.appFault, since: since, at: now)
            }
        }
        return .send
    }

    /// How long a connection waits that an open breaker would hold; nil when none is open.
    func recheck(_ endpoint: TokenEndpoint, at now: Date) -> Duration? {
        for key in endpoint.keys {
            if case .open(let since)? = known(key)?.gate(at: now) {
                return HostHealth.recheck(since: since, at: now, chance: .random(in: 0...1), settings: settings)
            }
        }
        return nil
    }

    private func held(_ reason: ConnectionReason, since: Date, at now: Date) -> Admission {
        count(reason)
        return .wait(
            reason, HostHealth.recheck(since: since, at: now, chance: .random(in: 0...1), settings: settings))
    }

    private func count(_ reason: ConnectionReason) {
        Counter(label: "refreshes_held_total", dimensions: [("reason", reason.rawValue)]).increment()
    }

    /// Notes what came of an attempt. Tells the fleet before it returns where that may change what is done next.
    /// Never throws: what an attempt found must be written on its row whatever happens here.
    func note(_ outcome: EndpointOutcome, _ endpoint: TokenEndpoint, at start: Date) async -> Heard {
        var all = Heard()
        for key in endpoint.keys {
            var heard = tallies.withLock {
                $0[key, default: EndpointTally()].note(
                    outcome, voice: endpoint.voice(at: key), connectionID: endpoint.connectionID, at: start,
                    settings: settings)
            }
            if let health = known(key) { heard.isPressing = matters(outcome, to: health, heard) }
            if key == endpoint.keys.first { all = heard }
            guard heard.isPressing else { continue }
            do {
                try await tell(key)
            } catch {
                all.isTold = false
                logger.error(
                    "provider health could not be told",
                    metadata: ["oauth_app": "\(key.appID)", "host": "\(key.host)", "error": "\(error)"])
            }
        }
        return all
    }

    /// While a trouble goes on, a second's worth of it is told at once only where it says something new.
    private func matters(_ outcome: EndpointOutcome, to health: HostHealth, _ heard: Heard) -> Bool {
        switch outcome {
        case .served(let isRetest):
            health.breaker != .closed || health.quarantinedAt != nil || health.faultVoice != nil
                || isRetest && health.waveSince != nil
        case .refused: true
        case .answered: health.breaker != .closed
        case .appFault: health.quarantinedAt == nil || health.quarantineTrials > 0
        case .trouble, .unclassified: heard.isPressing && health.breaker != .open || health.breaker == .halfOpen
        }
    }

    /// The wave that holds verdicts here, if there is one: where, and when the held are tested again.
    func wave(_ endpoint: TokenEndpoint, at now: Date) -> (key: TokenHostKey, decision: Date)? {
        for key in endpoint.keys {
            if let decision = known(key)?.decidesWaveAt(settings), decision > now { return (key, decision) }
        }
        return nil
    }
}
