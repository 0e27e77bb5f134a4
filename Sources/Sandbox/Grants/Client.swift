import Foundation
import Vault

/// An OAuth client as the provider knows it.
struct OAuthClient: Sendable, Codable {
    let id: String
    /// Nil: a public client, which authenticates by PKCE alone.
    let secret: String?
    /// Compared exactly. Empty: any `https` address, and `http` on a loopback host.
    let redirectURIs: [String]
    /// Secrets that are good beside it, until each is expired: how an operator changes one without downtime.
    var otherSecrets: [String]?
    /// Secrets that have ended: told apart from wrong ones.
    var expiredSecrets: [String]?
    /// The classes that have turned it off, and why.
    var deaths: [ProviderClass: Death] = [:]

    /// The client known from the start.
    static let standard = OAuthClient(
        id: SandboxConfiguration.clientID, secret: SandboxConfiguration.clientSecret, redirectURIs: [])

    /// What becomes of a secret that was sent.
    enum SecretCheck { case good, wrong, expired }

    func check(_ given: String) -> SecretCheck {
        func holds(_ list: [String]) -> Bool {
            list.contains { Digest.constantTimeEquals(Array(given.utf8), Array($0.utf8)) }
        }
        if holds(expiredSecrets ?? []) { return .expired }
        return holds([secret].compactMap(\.self) + (otherSecrets ?? [])) ? .good : .wrong
    }

    /// Whether authorization answers may go to `uri` (RFC 6749 §3.1.2: absolute, without a fragment).
    func accepts(redirectURI uri: String) -> Bool {
        guard uri.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), !uri.utf8.contains(UInt8(ascii: "#")) else {
            return false
        }
        if !redirectURIs.isEmpty { return redirectURIs.contains(uri) }
        guard let separator = uri.range(of: "://") else { return false }
        let authority = uri[separator.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "\\" }
        guard !authority.isEmpty, !authority.contains("@") else { return false }
        switch uri[..<separator.lowerBound] {
        case "https": return true
        case "http":
            let host =
                authority.hasPrefix("[")
                ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
            return host == "localhost" || host == "::1" || host.hasPrefix("127.")
        default: return false
        }
    }
}

/// An authorization code: single use, ten minutes (RFC 6749 §4.1.2).
struct AuthorizationCode: Sendable {
    static let lifetime = 600.0

    let providerClass: ProviderClass
    let client: String
    let redirectURI: String
    let account: String
    let scope: String
    /// S256; nil when the request had none.
    let challenge: String?
    let issuedAt: Double
    /// The grant it was redeemed for. A second redemption kills it.
    var grant: Int?
}

/// An API key of class `key`.
struct APIKey: Sendable, Codable {
    let id: Int
    let value: String
    let account: String
    let createdAt: Double
    var death: Death?
    var calls = 0

    var name: String { "k\(id)" }
}
