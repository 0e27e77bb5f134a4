import Catalog
import Credentials
import Foundation
import Jobs
import Logging
import Metrics
import OAuth
import Pacing
import Postgres
import Queue
import Store
import Vault

/// Takes providers' signals about ended grants. A signal is a hint: the connections that it names are probed at once,
/// and the probe decides; it may be the echo of our own revocation, or older than the present grant.
package struct InboundSignals: Sendable {
    /// What came of a request.
    package enum Outcome: Sendable, Equatable {
        /// Believed; so many connections are probed.
        case taken(connections: Int)
        /// Seen before.
        case repeated
        case challenge(String)
        /// Nothing here receives it, or it proves nothing: not to be told apart from outside.
        case notFound
    }

    /// How long a body is known, so that a copy does nothing.
    static let remembered: Duration = .seconds(30 * 86_400)

    private let services: LifecycleServices

    package init(_ services: LifecycleServices) { self.services = services }

    /// - Parameters:
    ///   - environment: its name.
    ///   - header: looks a header up by its lower-case name.
    package func receive(
        environment: String, integration: String, header: @Sendable (String) -> String?, body: [UInt8]
    ) async throws -> Outcome {
        guard let known = services.catalog.integration(integration),
            let provider = services.catalog.provider(of: known), let scheme = provider.inbound,
            let target = try await SigningSecrets.target(
                environment: environment, integration: known.id, in: services.pool)
        else { return .notFound }
        guard let secret = try await secret(of: target, scheme) else {
            refused(provider, target, "no_secret")
            return .notFound
        }
        do {
            try SignalSignature.verify(scheme, header: header, body: body, secret: secret, now: Date())
        } catch {
            refused(provider, target, error.rawValue)
            return .notFound
        }
        return try await take(InboundSignal.read(scheme, header: header, body: body), body, target, provider)
    }

    /// Pipedrive's word that its app was uninstalled: a DELETE on the callback URL, which names no environment, with the
    /// client's own credentials.
    package func receiveDeletion(
        integration: String, authorization: String?, body: [UInt8]
    ) async throws -> Outcome {
        guard let known = services.catalog.integration(integration),
            let provider = services.catalog.provider(of: known), provider.inbound == .pipedrive,
            let clientID = SignalSignature.basic(authorization)?.id
        else { return .notFound }
        for target in try await SigningSecrets.targets(
            provider: provider.id, clientID: clientID, in: services.pool)
        {
            guard let secret = try await secret(of: target, .pipedrive),
                SignalSignature.provesClient(authorization, id: clientID, secret: secret)
            else { continue }
            let signal = InboundSignal.read(.pipedrive, header: { _ in nil }, body: body)
            if let at = signal?.uninstalledAt, -at.timeIntervalSinceNow > SignalSignature.oldest {
                refused(provider, target, "old")
                return .notFound
            }
            return try await take(signal, body, target, provider)
        }
        return .notFound
    }

    private func secret(of target: SignalTarget, _ scheme: InboundScheme) async throws -> Secret? {
        switch scheme {
        case .slack, .github:
            guard let sealed = target.signingSecret else { return nil }
            return try await services.vault.open(
                sealed,
                .signingSecret(
                    environmentID: target.environmentID, appUID: target.appUID, version: target.signingSecretVersion))
        case .shopify, .pipedrive:
            guard let sealed = target.clientSecret else { return nil }
            return try await services.vault.open(
                sealed,
                .clientSecret(
                    environmentID: target.environmentID, appUID: target.appUID, version: target.secretVersion))
        }
    }

    private func take(
        _ signal: InboundSignal?, _ body: [UInt8], _ target: SignalTarget, _ provider: Provider
    ) async throws -> Outcome {
        guard let signal else {
            count(provider, "ignored")
            return .taken(connections: 0)
        }
        if let challenge = signal.challenge { return .challenge(challenge) }
        let services = services
        let found = try await services.pool.transaction { db -> Int? in
            guard
                try await SigningSecrets.remember(
                    digest: Digest.sha256(body), appID: target.appID, keep: Self.remembered, in: db)
            else { return nil }
            let accounts = Array(signal.accounts.prefix(InboundSignal.mostAccounts))
            let named = try await SigningSecrets.connections(
                appID: target.appID, accounts: accounts, uninstalledAt: signal.uninstalledAt, in: db)
            let jobs = try named.map { id in
                try ValidateConnection(connection: id).job(
                    environmentID: target.environmentID, priority: .awaited, uniqueKey: "signal:\(id)")
            }
            if !jobs.isEmpty { _ = try await services.queue.enqueue(jobs, in: db) }
            return named.count
        }
        guard let found else {
            count(provider, "repeated")
            return .repeated
        }
        if found > 0 { await services.queue.wakeRunners() }
        count(provider, signal.kind)
        services.logger.info(
            "signal: \(signal.kind)", metadata: ["oauth_app": "\(target.appUID)", "connections": "\(found)"])
        return .taken(connections: found)
    }

    private func refused(_ provider: Provider, _ target: SignalTarget, _ why: String) {
        count(provider, why)
        services.logger.warning(
            "a signal was not believed", metadata: ["oauth_app": "\(target.appUID)", "reason": "\(why)"])
    }

    private func count(_ provider: Provider, _ outcome: String) {
        Counter(label: "inbound_signals_total", dimensions: [("provider", provider.id), ("outcome", outcome)])
            .increment()
    }
}
