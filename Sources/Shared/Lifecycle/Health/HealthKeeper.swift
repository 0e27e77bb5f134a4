import Foundation
import Logging
import Pacing
import Store
import Synchronization

/// Keeps a process's ``ProviderHealth``: reads and tells about once a second, probes what is due, brings back who
/// waited. Every process that sends to providers has one; whoever comes first does what is due, under the row's lock.
package struct HealthKeeper: Sendable {
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
        var failure: (any Error)?
        do { try await health.tellAll() } catch { failure = error }
        for key in due {
            do {
                try await health.change(key) { [settings = health.settings] health, row in
                    health.tend(at: row.now, settings: settings)
                }
            } catch { failure = error }
        }
        try await doErrands()
        if let failure { throw failure }
    }

    /// Does what changes of this process asked for.
    package func doErrands() async throws {
        while let errand = health.nextErrand() {
            if errand.effect == .probe { try await probe(errand.key) } else { try await health.perform(errand) }
        }
    }

    private func probe(_ key: TokenHostKey) async throws {
        guard let known = health.known(key), let finding = try await probe.probe(key, known) else { return }
        try await health.change(key) { [settings = health.settings] health, row in
            health.probed(finding, at: row.now, settings: settings)
        }
    }
}
