import Catalog
import Credentials
import Logging
import OAuth
import Pacing
import Postgres
import Store
import Vault

/// Finds out whether a token endpoint works again and takes the OAuth app, spending no rotating token: by refreshing a
/// connection whose refresh token stays good, else by a canary.
struct EndpointProbe: Sendable {
    /// Connections of an app that are looked at to find one of the endpoint.
    private static let candidates = 20

    let services: LifecycleServices
    let attempts: RefreshAttempts

    init(_ services: LifecycleServices) {
        self.services = services
        attempts = RefreshAttempts(services)
    }

    /// - Returns: nil when a real attempt was made instead, which has told what came of it.
    func probe(_ key: TokenHostKey, _ health: HostHealth) async throws -> ProbeFinding? {
        let ids = try await TokenHosts.candidates(
            appID: key.appID, first: health.connectionID, limit: Self.candidates, in: services.pool)
        // The app as a whole, of which one tenant complained: another has to agree, or there is no other.
        let seeksOther = key.host.isEmpty && health.quarantinedAt == nil && health.faultVoice != nil
        for id in ids {
            guard let found = try await open(id, appID: key.appID) else { continue }
            let place = found.endpoint.keys.first
            if seeksOther, place?.host == health.faultVoice { continue }
            if !seeksOther, !found.endpoint.keys.contains(key) { continue }
            // Of the OAuth app a made-up grant tells more than one account's own.
            let isOfApp = health.quarantinedAt != nil || health.faultVoice != nil
            if !isOfApp, case .replayable = found.rule.replayClass, try await attempt(id) { return nil }
            let finding = await ask(found)
            // Nothing can tell the app's fault from the account's, and there is no other account: it is the same.
            let isOnly = ids.count == 1 && health.quarantinedAt == nil && health.faultVoice != nil
            return finding == .reachable && isOnly ? .appFault : finding
        }
        if seeksOther { return .appFault }
        services.logger.notice(
            "no connection to probe a token endpoint with",
            metadata: ["oauth_app": "\(key.appID)", "host": "\(key.host)"])
        return .reachable
    }

    /// Refreshes the connection for good. False when that was not possible, or is no word on the endpoint.
    private func attempt(_ id: Int64) async throws -> Bool {
        switch try await attempts.refresh(connectionID: id, generation: nil, isCanary: true) {
        case .refreshed, .refused, .ambiguous: true
        case .trouble(.ourTrouble, _), .notMarked, .notRefreshable: false
        case .trouble: true
        }
    }

    private func ask(_ found: OpenedConnection) async -> ProbeFinding {
        let outcome = await services.oauth.canary(
            provider: found.provider, app: found.app, facts: found.tokens.facts,
            timeout: services.timings.requestTimeout)
        services.logger.info(
            "token endpoint probed", metadata: ["provider": "\(found.provider.id)", "outcome": "\(outcome)"])
        return switch outcome {
        case .answered: .alive
        case .reached: .reachable
        case .refusesApp: .appFault
        case .trouble: .down
        }
    }

    private struct OpenedConnection {
        let provider: Provider
        let app: OAuthApp
        let tokens: TokenSet
        let endpoint: TokenEndpoint
        let rule: ReplayRule
    }

    /// The connection with its facts, if it can be opened; its URL comes from what is sealed, never from a row.
    private func open(_ id: Int64, appID: Int64) async throws -> OpenedConnection? {
        guard let record = try await Connections.find(id: id, in: services.pool), record.oauthAppID == appID,
            let sealed = try await Validations.current(connectionID: id, in: services.pool),
            let stored = try await OAuthApps.find(id: appID, in: services.pool),
            let provider = services.catalog.provider(record.provider)
        else { return nil }
        do {
            let tokens = try TokenSet(
                plaintext: await services.vault.open(
                    sealed,
                    .connectionTokens(
                        environmentID: record.environmentID, uid: record.uid, generation: record.generation)))
            guard tokens.refreshToken != nil else { return nil }
            var secret: Secret?
            if let sealed = stored.clientSecret {
                secret = try await services.vault.open(
                    sealed,
                    .clientSecret(
                        environmentID: stored.environmentID, appUID: stored.uid, version: stored.secretVersion))
            }
            let settings = try OAuthAppSettings(stored.parameters)
            let app = OAuthApp(
                clientID: stored.clientID, clientSecret: secret, redirectURI: "", parameters: settings.parameters,
                replay: settings.replay)
            let facts = app.replay(at: provider)
            return OpenedConnection(
                provider: provider, app: app, tokens: tokens,
                endpoint: TokenEndpoint(
                    appID: appID, provider: provider, app: app, facts: tokens.facts, connectionID: id),
                rule: ReplayRule(
                    replayClass: facts.replayClass, harm: facts.harm, attemptLength: services.timings.attemptLength))
        } catch let error as PostgresError {
            throw error
        } catch {
            services.logger.warning(
                "a connection cannot be opened for a probe", metadata: ["connection": "\(id)", "error": "\(error)"])
            return nil
        }
    }
}
