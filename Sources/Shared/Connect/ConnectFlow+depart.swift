import Catalog
import Credentials
import Foundation
import OAuth
import Postgres
import Store
import Vault

/// Where the browser goes next, and whose page that is.
package struct Departure: Sendable {
    /// Holds the state: never logged, never put into a Referer.
    package let url: Secret
    package let title: String
    /// How often a browser has left in this session, this time included.
    package let number: Int
}

/// What an authorization request keeps sealed until its callback.
struct AuthorizationSecrets: Codable {
    var verifier: String?
    var nonce: String?
}

extension ConnectFlow {
    /// Sends the browser to the provider: writes the authorization request, and moves the session on.
    /// - Parameter typed: what the user filled in, by parameter name.
    package func depart(
        session uid: String, browser: BrowserBinding?, integration id: String, typed: [String: String]
    ) async throws -> Departure {
        let session = try await session(uid, browser: browser)
        try checkUsable(session)
        let offer = try await offer(id, in: session)
        guard let browser, let provider = catalog.provider(of: offer.integration), let appID = offer.settings.oauthAppID
        else { throw ConnectError(.setupRequired, integration: offer.title, session: uid) }
        let facts: [String: String]
        do throws(FormError) { facts = try offer.integration.values(typed: typed) } catch {
            throw error.connectError(offer, session: uid)
        }
        let app = try await oauthApp(id: appID, integration: offer.integration)
        let request: AuthorizationRequest
        do throws(InvalidValue) {
            request = try AuthorizationRequest(
                integration: offer.integration, provider: provider, app: app, scopes: offer.settings.scopes,
                facts: facts)
        } catch {
            throw ConnectError(.invalidField, integration: offer.title, session: uid, hint: error.description)
        }
        try await store(request, app: appID, redirectURI: app.redirectURI, offer, session, browser, facts)
        guard try await ConnectSessions.depart(id: session.id, in: pool) else {
            throw try await whyNotClaimed(session)
        }
        return Departure(url: Secret(request.url), title: offer.title, number: session.departures + 1)
    }

    private func store(
        _ request: AuthorizationRequest, app: Int64, redirectURI: String, _ offer: OfferedIntegration,
        _ session: ConnectSessionRecord, _ browser: BrowserBinding, _ facts: [String: String]
    ) async throws {
        let stateHash = Digest.sha256(request.state)
        let secrets = AuthorizationSecrets(
            verifier: request.codeVerifier?.revealedText(), nonce: request.nonce)
        let sealed = try await vault.seal(
            Secret(try JSONEncoder().encode(secrets)),
            .authorizationRequest(environmentID: session.environmentID, stateHash: stateHash))
        let record = AuthorizationRequestRecord(
            stateHash: stateHash, sessionID: session.id, environmentID: session.environmentID,
            integration: offer.integration.id, oauthAppID: app, redirectURI: redirectURI, browserHash: browser.hash,
            scopes: request.scopes, parameters: facts, sealed: sealed)
        try await AuthorizationRequests.insert(record, life: limits.authorizationLife, in: pool)
    }

    /// The operator's client, its secret opened.
    func oauthApp(id: Int64, integration: Integration) async throws -> OAuthApp {
        guard let record = try await OAuthApps.find(id: id, in: pool) else {
            throw ConnectError(.setupRequired, integration: integration.title)
        }
        return try await oauthApp(record, integration: integration)
    }

    private func oauthApp(_ record: OAuthAppRecord, integration: Integration) async throws -> OAuthApp {
        let secrets = try await ClientSecrets(record).opened(by: vault)
        var spare: SpareSecret?
        if let second = secrets.second {
            let (pool, logger, app) = (pool, logger, record.id)
            spare = SpareSecret(secret: second.secret) {
                await ClientSecrets.remember(app, works: second.version, in: pool, logger: logger)
            }
        }
        return OAuthApp(
            clientID: record.clientID, clientSecret: secrets.first, redirectURI: redirectURI(of: integration.id),
            parameters: record.parameters, spare: spare)
    }

    /// Why a compare-and-set on a session found nothing.
    func whyNotClaimed(_ session: ConnectSessionRecord) async throws -> ConnectError {
        guard let now = try await ConnectSessions.find(id: session.id, in: pool) else {
            return ConnectError(.sessionUnknown)
        }
        if now.state == .finished { return ConnectError(.sessionUsed, session: session.uid) }
        if now.isExpired { return ConnectError(.sessionExpired, session: session.uid) }
        return ConnectError(.sessionBusy, session: session.uid)
    }
}
