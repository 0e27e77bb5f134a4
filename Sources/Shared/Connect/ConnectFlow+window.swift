import Catalog
import Credentials
import Foundation
import Postgres
import Store
import Vault

/// What a page of a session shows.
package struct WindowView: Sendable {
    package let session: ConnectSessionRecord
    package let environment: EnvironmentRecord
    /// Ready ones only, by title.
    package let offers: [OfferedIntegration]
    /// The connection that is renewed.
    package let connection: ConnectionRecord?
}

extension ConnectFlow {
    /// Trades a link's token: the browser holds the session from now on.
    /// - Throws: ``ConnectError``: unknown, expired or used.
    package func open(token: Secret, browser: BrowserBinding) async throws -> ConnectSessionRecord {
        guard let session = try await ConnectSessions.find(tokenHash: Digest.sha256(token), in: pool),
            session.kind == .link
        else {
            throw ConnectError(.sessionUnknown)
        }
        // The browser that connected may look again, for its finish code or its success page.
        if session.state == .finished, session.finishedBrowser == browser.hash { return session }
        try checkUsable(session)
        guard let opened = try await ConnectSessions.open(id: session.id, browser: browser.hash, in: pool) else {
            throw ConnectError(
                .sessionUsed, hint: "at most \(ConnectSessions.maximumBrowsers) browsers may open one session")
        }
        return opened
    }

    /// The session of a page, for a browser that holds it.
    /// - Throws: ``ConnectError``: a browser that never traded the token learns nothing about the session.
    package func session(_ uid: String, browser: BrowserBinding?) async throws -> ConnectSessionRecord {
        guard let browser, let session = try await ConnectSessions.find(uid: uid, in: pool),
            session.browsers.contains(browser.hash)
        else { throw ConnectError(.wrongBrowser) }
        return session
    }

    /// All that the session's page needs. Expired and used sessions are refused, unless this browser finished it.
    package func view(_ uid: String, browser: BrowserBinding?) async throws -> WindowView {
        let session = try await session(uid, browser: browser)
        if session.state != .finished { try checkUsable(session) }
        return try await view(of: session)
    }

    /// The same of a session that is at hand already, whatever its state.
    package func view(of session: ConnectSessionRecord) async throws -> WindowView {
        guard let environment = try await Environments.find(id: session.environmentID, in: pool) else {
            throw ConnectError(.sessionUnknown)
        }
        var connection: ConnectionRecord?
        if let id = session.connectionID ?? session.finishedConnectionID {
            connection = try await Connections.find(id: id, in: pool)
        }
        let offers = try await offers(session).filter(\.isReady)
        return WindowView(session: session, environment: environment, offers: offers, connection: connection)
    }

    /// One integration of the session, with its settings.
    func offer(_ id: String, in session: ConnectSessionRecord) async throws -> OfferedIntegration {
        guard let integration = catalog.integration(id) else {
            throw ConnectError(.unknownIntegration, session: session.uid)
        }
        guard let offer = try await offers(session).first(where: { $0.integration.id == id }) else {
            throw ConnectError(.notEnabled, integration: integration.title, session: session.uid)
        }
        guard offer.isReady else {
            throw ConnectError(.setupRequired, integration: offer.title, session: session.uid)
        }
        return offer
    }

    /// All that an environment enables, by title; some may lack their OAuth app.
    package func offers(of environment: EnvironmentRecord) async throws -> [OfferedIntegration] {
        try await offers(environmentID: environment.id, among: nil)
    }

    private func offers(_ session: ConnectSessionRecord) async throws -> [OfferedIntegration] {
        try await offers(environmentID: session.environmentID, among: session.integrations)
    }

    private func offers(environmentID: Int64, among wanted: [String]?) async throws -> [OfferedIntegration] {
        let settings = try await IntegrationSettings.list(environmentID: environmentID, in: pool)
        let offers = settings.compactMap { own -> OfferedIntegration? in
            guard own.isEnabled, wanted?.contains(own.integration) ?? true,
                let integration = catalog.integration(own.integration)
            else { return nil }
            return OfferedIntegration(integration: integration, settings: own)
        }
        return offers.sorted { $0.title.localizedCaseInsensitiveCompare($1.title) == .orderedAscending }
    }

    /// - Throws: ``ConnectError`` when the session has ended.
    func checkUsable(_ session: ConnectSessionRecord) throws(ConnectError) {
        if session.state == .finished { throw ConnectError(.sessionUsed, session: session.uid) }
        if session.isExpired { throw ConnectError(.sessionExpired, session: session.uid) }
    }
}
