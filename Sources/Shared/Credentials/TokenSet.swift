import Foundation

/// What a code exchange or a refresh returns, or an API key with its fields: everything that is sealed as one value.
package struct TokenSet: Sendable, Equatable {
    /// The access token, or the API key.
    package var accessToken: Secret
    package var refreshToken: Secret?
    /// `Bearer` unless the provider says otherwise.
    package var tokenType: String
    /// When the access token ends; nil when the provider gave no end.
    package var expiresAt: Date?
    /// When the refresh token ends whatever we do, when the provider says so.
    package var refreshExpiresAt: Date?
    /// Scopes granted; nil when the answer named none (RFC 6749 §5.1: then as requested).
    package var scopes: [String]?
    /// Further tokens of the same grant, by their catalog name (Slack's `authed_user`).
    package var furtherTokens: [String: Secret]
    /// Facts that are not secret and that calls need: `instance_url`, `realmId`, a typed domain. Hosts were checked.
    package var facts: [String: String]

    package init(
        accessToken: Secret, refreshToken: Secret? = nil, tokenType: String = "Bearer", expiresAt: Date? = nil,
        refreshExpiresAt: Date? = nil, scopes: [String]? = nil, furtherTokens: [String: Secret] = [:],
        facts: [String: String] = [:]
    ) {
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.tokenType = tokenType
        self.expiresAt = expiresAt
        self.refreshExpiresAt = refreshExpiresAt
        self.scopes = scopes
        self.furtherTokens = furtherTokens
        self.facts = facts
    }
}

extension TokenSet {
    /// The plaintext that is sealed: JSON, version 1. `Secret` has no `Codable` on purpose, so that this is the only
    /// place where a token set is written out.
    package func plaintext() throws -> Secret {
        let wire = Wire(
            v: 1, a: accessToken.revealedText(), r: refreshToken?.revealedText(), t: tokenType,
            e: expiresAt?.timeIntervalSince1970, re: refreshExpiresAt?.timeIntervalSince1970, s: scopes,
            m: furtherTokens.isEmpty ? nil : furtherTokens.mapValues { $0.revealedText() },
            f: facts.isEmpty ? nil : facts)
        return Secret(try JSONEncoder().encode(wire))
    }

    /// Reads what ``plaintext()`` wrote.
    /// - Throws: ``InvalidValue`` when the bytes are not a token set of a version this build knows.
    package init(plaintext: Secret) throws {
        guard let wire = try? plaintext.withBytes({ try JSONDecoder().decode(Wire.self, from: Data($0)) }), wire.v == 1
        else {
            throw InvalidValue(
                item: "sealed token set", problem: "has a form this build does not know",
                repair: "run the version of evergrant that wrote it, or a newer one")
        }
        self.init(
            accessToken: Secret(wire.a), refreshToken: wire.r.map { Secret($0) }, tokenType: wire.t,
            expiresAt: wire.e.map(Date.init(timeIntervalSince1970:)),
            refreshExpiresAt: wire.re.map(Date.init(timeIntervalSince1970:)), scopes: wire.s,
            furtherTokens: (wire.m ?? [:]).mapValues { Secret($0) }, facts: wire.f ?? [:])
    }

    private struct Wire: Codable {
        var v: Int
        var a: String
        var r: String?
        var t: String
        var e: Double?
        var re: Double?
        var s: [String]?
        var m: [String: String]?
        var f: [String: String]?
    }
}
