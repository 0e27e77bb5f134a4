import Catalog
import Credentials
import Foundation
import OAuth
import Postgres
import Store
import Vault

extension ConnectFlow {
    /// The app's server confirms who consented: the code that only the consenting browser was sent away with, and the
    /// identity of the user who is signed in to that browser.
    /// - Throws: ``ConnectError`` `finish_refused` for a wrong, spent or expired code and for another identity alike:
    ///   which of them it was would help only somebody who tries.
    package func confirm(
        session uid: String, environmentID: Int64, code: Secret, identity: Identity, actor: String
    ) async throws -> ConnectionRecord {
        let hash = Digest.sha256(code)
        guard let session = try await ConnectSessions.find(uid: uid, in: pool),
            session.environmentID == environmentID, let id = session.finishedConnectionID
        else { throw ConnectError(.finishRefused) }
        let spend: @Sendable (any PostgresQuerying) async throws -> Void = { db in
            guard
                try await ConnectSessions.confirm(
                    uid: uid, environmentID: environmentID, finishHash: hash, identity: identity, in: db) != nil
            else { throw ConnectError(.finishRefused) }
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "finish", connectionID: id, in: db)
        }
        if let held = try await heldAnswer(session) {
            return try await install(held, on: id, allowsOtherAccount: session.allowsOtherAccount) { db, _ in
                try await spend(db)
                try await ConnectSessions.dropHeldGrant(id: session.id, in: db)
                return true
            }
        }
        return try await pool.transaction { db in
            try await spend(db)
            guard let connection = try await Connections.confirm(id: id, in: db) else {
                throw ConnectError(.connectionGone)
            }
            return connection
        }
    }

    /// Where the browser that consented goes now: with a fresh finish code while the app has not confirmed, since the
    /// first may never have arrived.
    package func returnURL(session: ConnectSessionRecord, browser: BrowserBinding?) async throws -> Secret? {
        guard let browser, session.state == .finished, session.finishedBrowser == browser.hash else { return nil }
        guard session.requiresFinish, session.confirmedAt == nil else { return returnURL(of: session, code: nil) }
        let code = SecureRandom.token()
        guard
            try await ConnectSessions.replaceFinishCode(
                id: session.id, browser: browser.hash, finishHash: Digest.sha256(code), life: limits.finishLife,
                in: pool)
        else { return nil }
        return returnURL(of: session, code: Secret(code))
    }

    /// `redirect_url` with `evergrant_session`, and `evergrant_code` where the app must finish.
    func returnURL(of session: ConnectSessionRecord, code: Secret?) -> Secret? {
        guard let base = session.redirectURL else { return nil }
        var query = "evergrant_session=\(session.uid)"
        if let code { query += "&evergrant_code=\(code.revealedText())" }
        return Self.adding(query, to: base)
    }

    /// The page that a session came from, told why nothing was connected; nil when it has none.
    package func backURL(of session: ConnectSessionRecord, code: ConnectError.Code) -> Secret? {
        guard session.kind == .embedded, let base = session.redirectURL else { return nil }
        return Self.adding("evergrant_session=\(session.uid)&evergrant_error=\(code.rawValue)", to: base)
    }

    /// Adds to the query of `base`; a fragment stays the last.
    private static func adding(_ query: String, to base: String) -> Secret {
        let fragment = base.firstIndex(of: "#") ?? base.endIndex
        let page = base[..<fragment]
        let joint = page.contains("?") ? (page.hasSuffix("?") || page.hasSuffix("&") ? "" : "&") : "?"
        return Secret(page + joint + query + base[fragment...])
    }

    func heldAnswer(_ session: ConnectSessionRecord) async throws -> ExchangedAnswer? {
        guard let sealed = session.heldGrant, let json = session.heldFacts, let id = session.finishedConnectionID,
            let connection = try await Connections.find(id: id, in: pool)
        else { return nil }
        let facts = try JSONDecoder().decode(HeldFacts.self, from: Data(json))
        let plaintext = try await vault.open(
            sealed, .heldGrant(environmentID: session.environmentID, sessionUID: session.uid))
        return ExchangedAnswer(
            sessionUID: session.uid, environmentID: session.environmentID, nonce: .random(), browser: nil,
            connectionUID: connection.uid, grantID: facts.grant, integration: connection.integration,
            provider: connection.provider, oauthAppID: facts.app, parameters: facts.parameters,
            requestedScopes: facts.scopes, issuedAt: Date(timeIntervalSince1970: facts.issued),
            tokens: try TokenSet(plaintext: plaintext),
            account: facts.accountID.map { Account(id: $0, label: facts.accountLabel ?? $0) })
    }
}
