import Catalog
import Credentials
import Foundation
import OAuth
import Postgres
import Store
import Vault

extension ConnectFlow {
    /// The API-key form of a session: tests the key at the provider, and stores it only when it works.
    package func submitKey(
        session uid: String, browser: BrowserBinding?, integration id: String, form: [String: String]
    ) async throws -> FinishedSession {
        try await submitKey(try await session(uid, browser: browser), browser: browser, integration: id, form: form)
    }

    /// The same for a session at hand.
    /// - Parameter browser: nil for a frame, which has no cookie of ours.
    func submitKey(
        _ session: ConnectSessionRecord, browser: BrowserBinding?, integration id: String, form: [String: String]
    ) async throws -> FinishedSession {
        let uid = session.uid
        try checkUsable(session)
        let offer = try await offer(id, in: session)
        do {
            let tokens = try credential(form, offer.integration, title: offer.title)
            let nonce = UUID.random()
            guard try await ConnectSessions.claim(id: session.id, nonce: nonce, for: limits.claimLength, in: pool)
            else { throw try await whyNotClaimed(session) }
            do {
                try await recordTest(
                    of: offer.integration, environmentID: session.environmentID, actor: "session:\(session.uid)")
                let tested = try await test(tokens, integration: offer.integration)
                let answer = ExchangedAnswer(
                    sessionUID: uid, environmentID: session.environmentID, nonce: nonce, browser: browser?.hash,
                    connectionUID: .random(), grantID: .random(), integration: id, provider: id, oauthAppID: nil,
                    parameters: tested.tokens.facts, requestedScopes: [], issuedAt: Date(), tokens: tested.tokens,
                    account: tested.account)
                return try await commit(answer, late: false)
            } catch {
                await release(session, nonce: nonce)
                throw error
            }
        } catch let error as ConnectError {
            throw error.of(session: uid, integration: offer.title)
        }
    }

    /// Replaces the API key of a connection in place: same id, same key of ours. Tested first.
    /// - Throws: ``ConnectError``, ``InvalidValue`` for a connection without an API key.
    package func replaceKey(
        of uid: UUID, environmentID: Int64, form: [String: String], allowsOtherAccount: Bool, actor: String
    ) async throws -> ConnectionRecord {
        guard let found = try await Connections.find(uid: uid, environmentID: environmentID, in: pool),
            found.state != .revoking, found.state != .revoked
        else { throw ConnectError(.connectionGone) }
        guard let integration = catalog.integration(found.integration), case .apiKey = integration.method else {
            throw InvalidValue(
                item: "connection", problem: "has no API key", repair: "reconnect it with a link instead")
        }
        let tokens = try credential(form, integration, title: integration.title)
        try await recordTest(of: integration, environmentID: environmentID, actor: actor, connectionID: found.id)
        let tested = try await test(tokens, integration: integration)
        let answer = ExchangedAnswer(
            sessionUID: "", environmentID: environmentID, nonce: .random(), browser: nil, connectionUID: found.uid,
            grantID: .random(), integration: integration.id, provider: found.provider, oauthAppID: nil,
            parameters: tested.tokens.facts, requestedScopes: [], issuedAt: Date(), tokens: tested.tokens,
            account: tested.account)
        return try await install(answer, on: found.id, allowsOtherAccount: allowsOtherAccount) { db, record in
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "replace_key", connectionID: record.id, in: db)
            return true
        }
    }

    private func credential(
        _ form: [String: String], _ integration: Integration, title: String
    ) throws(ConnectError) -> TokenSet {
        guard case .apiKey = integration.method else {
            throw ConnectError(.invalidField, integration: title, hint: "this integration takes no API key")
        }
        do throws(FormError) { return try integration.credential(form: form) } catch {
            throw error.connectError(integration, title: title, session: nil)
        }
    }

    /// Before the key is tried, so that one that does not work is on record too.
    private func recordTest(
        of integration: Integration, environmentID: Int64, actor: String, connectionID: Int64? = nil
    ) async throws {
        try await Audit.record(
            environmentID: environmentID, actor: actor, action: "test_key", connectionID: connectionID,
            details: Array(#"{"integration":"\#(integration.id)"}"#.utf8), in: pool)
    }

    /// Unlike a fresh grant, a key that cannot be tested is not stored.
    private func test(
        _ tokens: TokenSet, integration: Integration
    ) async throws(ConnectError) -> (tokens: TokenSet, account: Account?) {
        let outcome = await oauth.probe(tokens, integration: integration, app: nil, timeout: limits.probeTimeout)
        let answer: ProbeAnswer
        do throws(ConnectError) { answer = try outcome.connected(by: logger, step: "key test") } catch {
            // To a key, "refused" in any form is one thing: this key does not work.
            switch error.code {
            case .providerRefused, .wrongClient, .wrongRedirect, .needsUser:
                throw ConnectError(.keyRefused, hint: error.hint)
            default: throw error
            }
        }
        if let fault = answer.refusedFacts.first { throw ConnectError(.providerRefused, hint: fault.description) }
        var tokens = tokens
        tokens.facts.merge(answer.facts) { _, new in new }
        return (tokens, answer.account)
    }
}
