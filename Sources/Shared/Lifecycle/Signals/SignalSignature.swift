import Catalog
import Credentials
import Foundation
import Vault

/// Proves that a signal came from the provider: an HMAC-SHA256 over the raw body, compared in constant time, and the
/// signal's age where what is signed tells it.
package enum SignalSignature {
    /// Why a signal is not believed.
    package enum Refusal: String, Error, Sendable {
        case unsigned, forged, old
    }

    /// How far Slack's timestamp may be from our clock (docs.slack.dev, Verifying requests).
    static let slackTolerance: Double = 300
    /// How old a signal may be whose body tells its moment.
    static let oldest: Double = 86_400

    /// - Parameters:
    ///   - header: looks a header up by its lower-case name.
    ///   - secret: the provider's signing secret; for Shopify the client secret.
    /// - Throws: ``Refusal``.
    package static func verify(
        _ scheme: InboundScheme, header: (String) -> String?, body: [UInt8], secret: Secret, now: Date
    ) throws(Refusal) {
        switch scheme {
        case .slack:
            guard let stamp = header("x-slack-request-timestamp"), let given = header("x-slack-signature"),
                let seconds = Double(stamp)
            else { throw .unsigned }
            let signed = Array("v0:\(stamp):".utf8) + body
            try compare(given, prefix: "v0=", hex: Digest.hmacSHA256(key: secret, signed))
            if abs(now.timeIntervalSince1970 - seconds) > slackTolerance { throw .old }
        case .github:
            guard let given = header("x-hub-signature-256") else { throw .unsigned }
            try compare(given, prefix: "sha256=", hex: Digest.hmacSHA256(key: secret, body))
        case .shopify:
            guard let given = header("x-shopify-hmac-sha256") else { throw .unsigned }
            guard let bytes = Encoding.bytes(base64: given[...]),
                Digest.constantTimeEquals(bytes, Digest.hmacSHA256(key: secret, body))
            else { throw .forged }
        case .pipedrive:
            // Not signed: it proves itself with the client's own credentials (SignalCaller.basic).
            throw .unsigned
        }
    }

    /// Whether an `Authorization: Basic` names this client with this secret.
    package static func provesClient(_ authorization: String?, id: String, secret: Secret) -> Bool {
        guard let pair = basic(authorization) else { return false }
        let isID = Digest.constantTimeEquals(Digest.sha256(pair.id), Digest.sha256(id))
        return Digest.constantTimeEquals(Digest.sha256(pair.secret), Digest.sha256(secret)) && isID
    }

    /// The two halves of an `Authorization: Basic`.
    package static func basic(_ authorization: String?) -> (id: String, secret: Secret)? {
        guard let authorization, authorization.lowercased().hasPrefix("basic "), authorization.utf8.count < 4096,
            let bytes = Encoding.bytes(base64: authorization.dropFirst(6))
        else { return nil }
        let halves = String(decoding: bytes, as: UTF8.self).split(
            separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        return (String(halves[0]), Secret(String(halves[1])))
    }

    private static func compare(_ given: String, prefix: String, hex mac: [UInt8]) throws(Refusal) {
        let expected = prefix + Encoding.hex(mac)
        guard Digest.constantTimeEquals(Array(given.utf8), Array(expected.utf8)) else { throw .forged }
    }
}
