import Catalog
import Credentials
import Escrow
import Foundation
import Logging
import OAuth
import Postgres
import Store
import Vault

/// What a successful connect leaves for the browser.
package struct FinishedSession: Sendable {
    package let session: ConnectSessionRecord
    package let connection: ConnectionRecord
    /// Where the app wants its user back, with the session and, where one is required, the one-time finish code.
    package let returnURL: Secret?
}

extension ConnectFlow {
    /// A browser is back from the provider. Spends the state, checks browser, integration and issuer, claims the
    /// session, redeems the code, and commits.
    /// - Parameter query: as it came; holds the code and must not be logged.
    package func callback(
        integration id: String, query: Secret, browser: BrowserBinding?
    ) async throws -> FinishedSession {
        let parameters: CallbackParameters
        do throws(InvalidValue) { parameters = try query.withParsedCallback() } catch {
            throw ConnectError(.stateMismatch, hint: error.description)
        }
        guard let state = parameters.state,
            let request = try await AuthorizationRequests.consume(stateHash: Digest.sha256(state), in: pool)
        else { throw ConnectError(.stateMismatch) }
        // From here on the state is spent, whatever is wrong with the rest.
        guard let browser, Digest.constantTimeEquals(browser.hash, request.browserHash) else {
            await note(.wrongBrowser, sessionID: request.sessionID, integration: catalog.integration(id)?.title)
            throw ConnectError(.wrongBrowser)
        }
        guard let session = try await ConnectSessions.find(id: request.sessionID, in: pool) else {
            throw ConnectError(.sessionUnknown)
        }
        guard request.integration == id, request.redirectURI == redirectURI(of: id) else {
            await note(.stateMismatch, sessionID: session.id, integration: nil)
            throw ConnectError(.stateMismatch, session: session.uid)
        }
        do {
            return try await redeem(parameters, request, session: session, browser: browser)
        } catch let error as ConnectError {
            let title = catalog.integration(id)?.title
            await note(error.code, sessionID: session.id, integration: error.integration ?? title)
            throw error.of(session: session.uid, integration: title)
        }
    }

    /// Leaves the failure where an embedded session's frame finds it: the window that it happened in may be cut off
    /// from its opener, by the provider's own headers or by partitioned storage.
    private func note(_ code: ConnectError.Code, sessionID: Int64, integration: String?) async {
        do {
            try await ConnectSessions.fail(id: sessionID, code: code.rawValue, integration: integration, in: pool)
        } catch {
            // The frame then says "closed" instead; the page of this window tells the cause.
            logger.warning("connect failure could not be noted", metadata: ["error": "\(error)"])
        }
    }

    private func redeem(
        _ parameters: CallbackParameters, _ request: AuthorizationRequestRecord, session: ConnectSessionRecord,
        browser: BrowserBinding
    ) async throws -> FinishedSession {
        try checkUsable(session)
        guard let integration = catalog.integration(request.integration),
            let provider = catalog.provider(of: integration)
        else { throw ConnectError(.unknownIntegration) }
        let app = try await oauthApp(id: request.oauthAppID, integration: integration)
        let code = try code(parameters, provider: provider, app: app, facts: request.parameters)
        let secrets = try await secrets(of: request)
        // The database may be gone when the answer arrives, and a code is good for once.
        try await vault.prepareToSeal(environmentID: session.environmentID)

        let nonce = UUID.random()
        guard try await ConnectSessions.claim(id: session.id, nonce: nonce, for: limits.claimLength, in: pool) else {
            throw try await whyNotClaimed(session)
        }
        do {
            // Before it is sent, so that one that fails is on record too: it uses the client secret.
            try await Audit.record(
                environmentID: session.environmentID, actor: "session:\(session.uid)", action: "exchange",
                connectionID: nil, details: Array(#"{"integration":"\#(integration.id)"}"#.utf8), in: pool)
            let startedAt = Date()
            let outcome = await oauth.exchange(
                code: code, callback: parameters, codeVerifier: secrets.verifier.map { Secret($0) },
                nonce: secrets.nonce, scopes: request.scopes, provider: provider, app: app,
                facts: request.parameters, startedAt: startedAt, timeout: limits.exchangeTimeout)
            let issued = try outcome.connected(by: logger, step: "exchange")
            let answer = ExchangedAnswer(
                sessionUID: session.uid, environmentID: session.environmentID, nonce: nonce, browser: browser.hash,
                connectionUID: .random(), grantID: .random(), integration: integration.id, provider: provider.id,
                oauthAppID: request.oauthAppID, parameters: request.parameters, requestedScopes: request.scopes,
                issuedAt: startedAt, tokens: issued.tokens, account: nil)
            if let fault = issued.refusedFacts.first {
                await giveBack(answer, integration: integration)
                throw ConnectError(.providerRefused, hint: fault.description)
            }
            return try await settle(answer, session: session, integration: integration, app: app)
        } catch {
            await release(session, nonce: nonce)
            throw error
        }
    }

    /// Journal, probe, commit.
    private func settle(
        _ answer: ExchangedAnswer, session: ConnectSessionRecord, integration: Integration, app: OAuthApp
    ) async throws -> FinishedSession {
        var answer = answer
        let key = UUID.random()
        await keep(answer, key: key)
        do {
            let probed = try await probe(answer.tokens, integration: integration, app: app)
            answer.tokens = probed.tokens
            answer.account = probed.account
            let finished = try await commit(answer, late: false)
            journal?.settle(key, as: .committed)
            return finished
        } catch let error as ConnectError {
            // Decided: this grant is of no use. A database that is away is not: then the journal keeps the answer.
            if error.code != .ours {
                await giveBack(answer, integration: integration)
                journal?.settle(key, as: .noUse)
            }
            throw error
        }
    }

    private func keep(_ answer: ExchangedAnswer, key: UUID) async {
        guard let journal else { return }
        do {
            let sealed = try await vault.seal(
                answer.tokens.plaintext(),
                .exchangeAnswer(environmentID: answer.environmentID, sessionUID: answer.sessionUID))
            try await journal.append(.exchangeAnswer, key: key, payload: answer.payload(sealed: sealed))
        } catch {
            // An answer is never thrown away for want of a journal: the commit that follows may well succeed.
            logger.error("exchange answer could not be journalled", metadata: ["error": "\(error)"])
        }
    }

    /// Revokes a grant that the user has just given and that is of no use, where that can hurt no other connection.
    func giveBack(_ answer: ExchangedAnswer, integration: Integration) async {
        guard let app = answer.oauthAppID else { return }
        await giveBack(
            Stray(
                environmentID: answer.environmentID, integration: integration, oauthAppID: app, tokens: answer.tokens,
                accountID: answer.account?.id, reason: .refused))
    }

    func release(_ session: ConnectSessionRecord, nonce: UUID) async {
        do { try await ConnectSessions.release(id: session.id, nonce: nonce, in: pool) } catch {
            // The claim ends by its deadline.
            logger.warning("claim could not be released", metadata: ["session": "\(session.uid)", "error": "\(error)"])
        }
    }

    private func code(
        _ parameters: CallbackParameters, provider: Provider, app: OAuthApp, facts: [String: String]
    ) throws -> Secret {
        let answer: CallbackAnswer
        do throws(CallbackFault) { answer = try parameters.answer(from: provider, app: app, facts: facts) } catch {
            throw error.connectError
        }
        switch answer {
        case .code(let code): return code
        case .refused(let refusal):
            logger.info(
                "authorization refused",
                metadata: ["provider": "\(provider.id)", "code": "\(refusal.code)", "kind": "\(refusal.kind)"])
            throw refusal.connectError
        }
    }

    private func secrets(of request: AuthorizationRequestRecord) async throws -> AuthorizationSecrets {
        let opened = try await vault.open(
            request.sealed,
            .authorizationRequest(environmentID: request.environmentID, stateHash: request.stateHash))
        return try opened.withBytes { try JSONDecoder().decode(AuthorizationSecrets.self, from: Data($0)) }
    }
}

extension Secret {
    fileprivate func withParsedCallback() throws(InvalidValue) -> CallbackParameters {
        try CallbackParameters(parsing: revealedText())
    }
}
