import Catalog
import Credentials
import Foundation
import Postgres
import Store
import Vault

// A session inside the app's own page. Its frame has the token from that page's message and no cookie: a cookie set in a
// frame is third-party, blocked or partitioned. The window that leaves for the provider has both: the token from the
// frame, by message between two documents of our origin, and the cookie that binds the callback to its browser.
extension ConnectFlow {
    /// The session behind a frame's token.
    /// - Throws: ``ConnectError``: unknown, or a link's, whose token is no frame's.
    package func embedded(token: Secret) async throws -> ConnectSessionRecord {
        if let found = try await ConnectSessions.find(tokenHash: Digest.sha256(token), in: pool) {
            guard found.kind == .embedded else {
                throw ConnectError(
                    .sessionUnknown, hint: "this is a link's token; mint the session with kind: embedded")
            }
            return found
        }
        guard let made = try await redeemTicket(token) else { throw ConnectError(.sessionUnknown) }
        return made
    }

    /// A frame begins: the page around it is of a listed origin, and the session still stands.
    /// - Parameter parent: the origin that the frame saw its token come from.
    package func openFrame(
        token: Secret, parent: String, environment reference: String
    ) async throws -> WindowView {
        let session = try await embedded(token: token)
        guard let environment = try await Environments.find(reference: reference, in: pool),
            environment.id == session.environmentID
        else {
            throw ConnectError(.sessionUnknown, hint: "the session is of another environment than the window")
        }
        guard environment.embeddingOrigins.contains(parent) else {
            throw ConnectError(
                .sessionUnknown,
                hint: "add \(parent.prefix(200)) to embedding_origins with PATCH /v1/environment")
        }
        try checkUsable(session)
        guard let opened = try await ConnectSessions.openFrame(id: session.id, parent: parent, in: pool) else {
            throw try await whyNotClaimed(session)
        }
        return try await view(of: opened)
    }

    /// Sends a window of the frame's to the provider, and binds the attempt to that window's browser.
    package func depart(
        token: Secret, browser: BrowserBinding, integration: String, typed: [String: String], name: String?
    ) async throws -> Departure {
        let session = try await embedded(token: token)
        try checkUsable(session)
        if let name { try await ConnectSessions.setName(id: session.id, name, in: pool) }
        guard let opened = try await ConnectSessions.open(id: session.id, browser: browser.hash, in: pool) else {
            throw ConnectError(.sessionUsed, session: session.uid)
        }
        return try await depart(session: opened.uid, browser: browser, integration: integration, typed: typed)
    }

    /// The API-key form of a frame.
    package func submitKey(
        token: Secret, integration: String, form: [String: String], name: String?
    ) async throws -> FinishedSession {
        var session = try await embedded(token: token)
        try checkUsable(session)
        if let name {
            try await ConnectSessions.setName(id: session.id, name, in: pool)
            session = try await embedded(token: token)
        }
        return try await submitKey(session, browser: nil, integration: integration, form: form)
    }

    /// Takes the session out of its frame, into the whole window: it comes back to `url`, the page that it left.
    ///
    /// Whoever has the token can do this, and can send the page that it leads to on to somebody else; so from here on the
    /// session needs a finish, unless the app has waived it.
    package func leaveFrame(
        token: Secret, returningTo url: String, browser: BrowserBinding
    ) async throws -> ConnectSessionRecord {
        let session = try await embedded(token: token)
        try checkUsable(session)
        guard let environment = try await Environments.find(id: session.environmentID, in: pool) else {
            throw ConnectError(.sessionUnknown)
        }
        let origin = try WebOrigin(of: url, item: "return_url").description
        guard url.utf8.count <= 4096,
            environment.embeddingOrigins.contains(origin) || environment.redirectOrigins.contains(origin)
        else {
            throw ConnectError(
                .invalidField, field: "return_url",
                hint: "the page's origin must be in embedding_origins or redirect_origins; its URL at most 4096 bytes")
        }
        guard try await ConnectSessions.leaveFrame(id: session.id, returningTo: url, in: pool) != nil,
            let opened = try await ConnectSessions.open(id: session.id, browser: browser.hash, in: pool)
        else { throw ConnectError(.sessionUsed, session: session.uid) }
        return opened
    }
}
