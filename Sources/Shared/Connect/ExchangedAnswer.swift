import Catalog
import Credentials
import Foundation
import OAuth
import Store
import Vault

/// A credential in hand, and all that its commit needs: what the escrow journal keeps between the two.
struct ExchangedAnswer: Sendable {
    var sessionUID: String
    var environmentID: Int64
    /// Of the session's claim.
    var nonce: UUID
    /// SHA-256 of the cookie of the browser that consented.
    var browser: [UInt8]?
    /// For a new connection.
    var connectionUID: UUID
    /// New at each exchange.
    var grantID: UUID
    var integration: String
    var provider: String
    var oauthAppID: Int64?
    var parameters: [String: String]
    var requestedScopes: [String]
    /// The exchange's start, from which expiry counts.
    var issuedAt: Date
    var tokens: TokenSet
    var account: Account?
}

extension ExchangedAnswer {
    /// The journal's payload: facts in the clear, the tokens sealed to the session.
    func payload(sealed: [UInt8]) throws -> [UInt8] {
        let wire = Wire(
            v: 1, session: sessionUID, environment: environmentID, nonce: nonce, browser: browser.map(Encoding.base64),
            connection: connectionUID, grant: grantID, integration: integration, provider: provider, app: oauthAppID,
            parameters: parameters, scopes: requestedScopes, issued: issuedAt.timeIntervalSince1970,
            sealed: Encoding.base64(sealed), accountID: account?.id, accountLabel: account?.label)
        return Array(try JSONEncoder().encode(wire))
    }

    /// Reads what ``payload(sealed:)`` wrote.
    init(payload: [UInt8], vault: CredentialVault) async throws {
        let wire = try JSONDecoder().decode(Wire.self, from: Data(payload))
        guard wire.v == 1, let sealed = Encoding.bytes(base64: wire.sealed) else {
            throw InvalidValue(
                item: "journalled exchange answer", problem: "has a form this build does not know",
                repair: "run the version of evergrant that wrote it, or a newer one")
        }
        let plaintext = try await vault.open(
            sealed, .exchangeAnswer(environmentID: wire.environment, sessionUID: wire.session))
        self.init(
            sessionUID: wire.session, environmentID: wire.environment, nonce: wire.nonce,
            browser: wire.browser.flatMap { Encoding.bytes(base64: $0) }, connectionUID: wire.connection,
            grantID: wire.grant, integration: wire.integration, provider: wire.provider, oauthAppID: wire.app,
            parameters: wire.parameters, requestedScopes: wire.scopes,
            issuedAt: Date(timeIntervalSince1970: wire.issued), tokens: try TokenSet(plaintext: plaintext),
            account: wire.accountID.map { Account(id: $0, label: wire.accountLabel ?? $0) })
    }

    private struct Wire: Codable {
        var v: Int
        var session: String
        var environment: Int64
        var nonce: UUID
        var browser: String?
        var connection: UUID
        var grant: UUID
        var integration: String
        var provider: String
        var app: Int64?
        var parameters: [String: String]
        var scopes: [String]
        var issued: Double
        var sealed: String
        var accountID: String?
        var accountLabel: String?
    }
}

extension UUID {
    /// 128 random bits, as the connection key promises; a version-4 UUID has six fewer.
    package static func random() -> UUID {
        let b = SecureRandom.bytes(16)
        return UUID(
            uuid: (
                b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]
            ))
    }
}
