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
            // The refresh has written what it found.
            let isGone = try await Validations.confirmUninstalled(connectionID: record.id, in: services.pool)
            return isGone ? .refused(.broken) : .trouble
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
        let rhythm = try await rhythm(record, integration)
        var finding = try await settle(outcome, of: credential, rhythm)
        if finding != .alive,
            try await Validations.confirmUninstalled(connectionID: record.id, in: services.pool)
        {
            finding = .refused(.broken)
        }
        try await Audit.record(
            environmentID: record.environmentID, actor: services.owner, action: "validate", connectionID: record.id,
            in: services.pool)
        Counter(
            label: "validations_total", dimensions: [("integration", record.integration), ("outcome", "\(finding)")]
        ).increment()
        return finding
    }

    /// The environment's word, else the catalog's, else the installation's; nil: no further probe.
    private func rhythm(_ record: ConnectionRecord, _ integration: Integration) async throws -> Duration? {
        let own = try await Validations.interval(
            environmentID: record.environmentID, integration: integration.id, in: services.pool)
        if let own { return own == .zero ? nil : own }
        return services.validationRhythm(of: integration)
    }

    private func settle(
        _ outcome: ProviderOutcome<ProbeAnswer>, of credential: UsableCredential, _ rhythm: Duration?
    ) async throws -> Finding {
        let connection = credential.connection
        let isRefreshable = credential.tokens.refreshToken != nil
        switch outcome {
        case .success(let answer):
            try await Validations.recordAlive(
                connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
                nextIn: rhythm, heals: !isRefreshable, scopes: answer.scopes, in: services.pool)
            return .alive
        case .refused(let refusal):
            switch refusal.verdict {
            case .dead, .certainlyRevoked:
                // With a refresh token the refresh is the judge, and it has just spoken: where it gave a new token that
                // the API refuses all the same, what is wrong is not the grant.
                if isRefreshable {
                    try await Validations.postpone(
                        connectionID: connection.id, generation: connection.generation, nextIn: rhythm,
                        in: services.pool)
                    return .trouble
                }
                let isConfirmed = connection.state == .suspected || refusal.verdict == .certainlyRevoked
                let state: ConnectionState = isConfirmed ? .broken : .suspected
                let changed = try await Validations.record(
                    connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
                    state: state, reason: connection.oauthAppID == nil ? .keyRefused : .refused,
                    nextIn: isConfirmed ? nil : services.timings.confirmAfter, in: services.pool)
                return changed ? .refused(state) : .trouble
            case .needsUser:
                // The credential lives, and a person stands in its way: asked again at the usual rhythm.
                note(connection, refusal)
                return try await recordTrouble(connection, .needsUser, next: rhythm)
            case .unknown:
                Counter(label: "answers_unclassified_total", dimensions: [("provider", connection.provider)])
                    .increment()
                note(connection, refusal)
                return try await recordTrouble(connection, .unclassified)
            case .providerTrouble(let retryAfter):
                note(connection, refusal)
                return try await recordTrouble(connection, .providerTrouble, atLeast: retryAfter)
            case .appFault:
                note(connection, refusal)
                return try await recordTrouble(connection, .providerTrouble)
            }
        case .notSent, .ambiguous:
            return try await recordTrouble(connection, .providerTrouble)
        }
    }

    private func note(_ connection: ConnectionRecord, _ refusal: ProviderRefusal) {
        services.logger.info(
            "probe: \(refusal.verdict.name)",
            metadata: ["connection": "\(connection.id)", "detail": "\(refusal.sample)"])
    }

    private func recordTrouble(
        _ connection: ConnectionRecord, _ reason: ConnectionReason, next: Duration? = nil, atLeast: Duration? = nil
    ) async throws -> Finding {
        var wait = next ?? services.timings.backoff.delay(failures: connection.failures + 1)
        wait = max(wait, atLeast ?? .zero)
        if connection.state == .suspected { wait = max(wait, services.timings.confirmAfter) }
        _ = try await Validations.record(
            connectionID: connection.id, grantID: connection.grantID, generation: connection.generation,
            state: connection.state == .active ? .degraded : connection.state,
            reason: connection.state == .suspected ? connection.reason ?? reason : reason, nextIn: wait,
            in: services.pool)
        return .trouble
    }
}
