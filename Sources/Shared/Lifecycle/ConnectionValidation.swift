import Catalog
import Credentials
import Foundation
import Logging
import Metrics
import OAuth
import Pacing
import Store

/// Probes credentials: is what we hold still accepted by the provider's API?
package struct ConnectionValidation: Sendable {
    /// What a probe found.
    package enum Finding: Sendable, Equatable {
        case alive
        /// Refused; the connection is now suspected or broken.
        case refused(ConnectionState)
        case trouble
        /// The integration has no probe, or the connection's state allows none.
        case notTested
    }

    private let services: LifecycleServices
    private let refresher: CredentialRefresher

    package init(_ services: LifecycleServices, refresher: CredentialRefresher) {
        self.services = services
        self.refresher = refresher
    }

    /// Probes the connection once. A 401 of an OAuth connection leads to one refresh and a second probe first.
    package func validate(connectionID: Int64) async throws -> Finding {
        guard let record = try await Connections.find(id: connectionID, in: services.pool), record.state.isUsable else {
            return .notTested
        }
        let integration = try services.catalog.integration(named: record.integration)
        guard integration.probe != nil else { return .notTested }
        var app: OAuthApp?
        if let id = record.oauthAppID, let stored = try await OAuthApps.find(id: id, in: services.pool) {
            app = OAuthApp(
                clientID: stored.clientID, clientSecret: nil, redirectURI: "",
                parameters: try OAuthAppSettings(stored.parameters).parameters, replay: nil)
        }
        var credential: UsableCredential
        do {
            credential = try await refresher.credential(uid: record.uid, environmentID: record.environmentID)
        } catch is CredentialError {
            return .trouble  // the refresh has written what it found
        }
        var outcome = await services.oauth.probe(
            credential.tokens, integration: integration, app: app, timeout: services.timings.requestTimeout)
        if case .refused(let refusal) = outcome, refusal.verdict == .dead,
            let newer = try await refresher.credential(afterRejectionOf: credential)
        {
            credential = newer
            outcome = await services.oauth.probe(
                credential.tokens, integration: integration, app: app, timeout: services.timings.requestTimeout)
        }
        let finding = try await settle(outcome, of: credential)
        try await Audit.record(
            environmentID: record.environmentID, actor: services.owner, action: "validate", connectionID: record.id,
            in: services.pool)
        Counter(
            label: "validations_total", dimensions: [("integration", record.integration), ("outcome", "\(finding)")]
        ).increment()
        return finding
    }

    private func settle(_ outcome: ProviderOutcome<ProbeAnswer>, of credential: UsableCredential) async throws
        -> Finding
    {
        let connection = credential.connection
        let isRefreshable = credential.tokens.refreshToken != nil
        let rhythm: Duration? = services.timings.validateEvery == .zero ? nil : services.timings.validateEvery
        switch outcome {
        case .success:
            try await Validations.recordAlive(
                connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
                nextIn: rhythm, heals: !isRefreshable, in: services.pool)
            return .alive
        case .refused(let refusal):
            switch refusal.verdict {
            case .dead, .certainlyRevoked:
                // With a refresh token the refresh is the judge, and it has just spoken.
                if isRefreshable { return .trouble }
                let isConfirmed = connection.state == .suspected || refusal.verdict == .certainlyRevoked
                let state: ConnectionState = isConfirmed ? .broken : .suspected
                let changed = try await Validations.record(
                    connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
                    state: state, reason: connection.oauthAppID == nil ? .keyRefused : .refused,
                    nextIn: isConfirmed ? nil : services.timings.confirmAfter, in: services.pool)
                return changed ? .refused(state) : .trouble
            case .needsUser, .appFault, .unknown, .providerTrouble:
                services.logger.info(
                    "probe: no verdict",
                    metadata: ["connection": "\(connection.id)", "detail": "\(refusal.sample)"])
                return try await recordTrouble(connection, rhythm)
            }
        case .notSent, .ambiguous:
            return try await recordTrouble(connection, rhythm)
        }
    }

    private func recordTrouble(_ connection: ConnectionRecord, _ rhythm: Duration?) async throws -> Finding {
        let wait = services.timings.backoff.delay(failures: connection.failures + 1)
        _ = try await Validations.record(
            connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
            state: connection.state == .active ? .degraded : connection.state,
            reason: connection.state == .active ? .providerTrouble : connection.reason ?? .providerTrouble,
            nextIn: connection.state == .suspected ? max(wait, services.timings.confirmAfter) : wait, in: services.pool)
        return .trouble
    }
}
