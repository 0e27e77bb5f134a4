import Foundation
import Logging
import Pacing
import Store
import Synchronization

/// Keeps a process's ``ProviderHealth``: reads and tells about once a second, probes what is due, brings back who
/// waited. Every process that sends to providers has one; whoever comes first does what is due, under the row's lock.
package struct HealthKeeper: Sendable {
    /// Connections released by one statement.
    private static let batch = 1000

    private let health: ProviderHealth
    private let probe: EndpointProbe
    private let services: LifecycleServices

    package init(_ services: LifecycleServices) {
        self.services = services
        health = services.health
        probe = EndpointProbe(services)
    }

    /// Turns until it is cancelled, and tells what is left then.
    package func run() async {
        var failures = 0
        let backoff = Backoff(base: health.settings.flush, cap: .seconds(15))
        while !Task.isCancelled {
            do {
                try await turn()
                failures = 0
            } catch {
                if Task.isCancelled { break }
                failures += 1
                services.logger.log(
                    level: failures % 20 == 1 ? .error : .debug, "provider health cannot be kept",
                    metadata: ["error": "\(error)"])
            }
            let wait = failures == 0 ? health.settings.flush : backoff.delay(failures: failures)
            do { try await Task.sleep(for: wait) } catch { break }
        }
        try? await health.tellAll()
    }

    /// One round: look, tell, tend, and do what changes asked for.
    package func turn() async throws {
        let due = try await health.look()
        try await health.tellAll()
        for key in due {
            try await health.change(key) { [settings = health.settings] health, row in
                health.tend(at: row.now, settings: settings)
            }
        }
        try await doErrands()
    }

    /// Does what changes of this process asked for. What is lost here with the process comes about by itself, later:
    /// who waits asks again, what is held is tested at the end of its hold.
    package func doErrands() async throws {
        while let errand = health.work.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
            try await perform(errand.effect, errand.key)
        }
    }

    private func perform(_ effect: HealthEffect, _ key: TokenHostKey) async throws {
        let settings = health.settings
        switch effect {
        case .breakerOpened, .quarantined, .waveBegan: break
        case .breakerClosed: try await release(key.appID)
        case .resumed:
            if key.isWhole {
                for row in try await TokenHosts.quarantined(appID: key.appID, in: services.pool) where row.key != key {
                    try await health.change(row.key) { health, _ in
                        health.resumeWithApp()
                        return []
                    }
                }
            }
            try await release(key.appID)
        case .waveEnded(_, let why):
            let spread = why == .patience ? settings.waveHold / 10 : min(settings.ramp, settings.waveHold / 10)
            while try await HeldVerdicts.release(key, limit: Self.batch, over: spread, in: services.pool) == Self.batch
            {}
        case .probe:
            guard let known = health.known(key), let finding = try await probe.probe(key, known) else { return }
            try await health.change(key) { health, row in health.probed(finding, at: row.now, settings: settings) }
        case .kick(let count): try await TokenHosts.kick(appID: key.appID, limit: count, in: services.pool)
        case .tryHeld: _ = try await HeldVerdicts.tryOne(key, in: services.pool)
        }
    }

    private func release(_ appID: Int64) async throws {
        var after: Int64 = 0
        while let last = try await TokenHosts.release(
            appID: appID, after: after, limit: Self.batch, over: health.settings.ramp, in: services.pool)
        {
            after = last
        }
    }
}
