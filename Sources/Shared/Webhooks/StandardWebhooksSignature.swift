import Credentials
import Vault

/// The signature of one webhook by Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over
/// `<webhook-id>.<webhook-timestamp>.<body>`, once for every secret that is valid.
package struct StandardWebhooksSignature: Sendable {
    /// Why a received webhook was not accepted.
    package enum Refusal: Error, Sendable, Hashable {
        case headerMissing
        case timestampMalformed
        case timestampTooOld
        case timestampTooNew
        case noMatchingSignature
    }

    /// How far a receiver lets the timestamp be from its clock, in seconds (what the reference libraries use).
    package static let tolerance: Int64 = 300

    /// `webhook-id`: the same for every try, so that the receiver can drop a repeat.
    package let id: String
    /// `webhook-timestamp`: seconds since 1970, of this try.
    package let timestamp: Int64
    /// `webhook-signature`: `v1,<base64>` for each secret, separated by spaces.
    package let signatures: String

    /// - Parameters:
    ///   - id: without a full stop, which would make the signed text ambiguous.
    ///   - secrets: one, or two while a rotation is under way: the receiver accepts any that fits.
    package init(id: String, timestamp: Int64, body: [UInt8], secrets: [WebhookSecret]) {
        self.id = id
        self.timestamp = timestamp
        signatures = secrets.map { secret in
            "v1," + Encoding.base64(Self.mac(id: id, timestamp: timestamp, body: body, secret: secret))
        }.joined(separator: " ")
    }

    package var headers: [(name: String, value: String)] {
        [("webhook-id", id), ("webhook-timestamp", String(timestamp)), ("webhook-signature", signatures)]
    }

    /// Verifies a received webhook as a receiver does.
    /// - Parameters:
    ///   - header: looks a header up by its lower-case name.
    ///   - now: seconds since 1970.
    /// - Throws: ``Refusal``.
    package static func verify(
        header: (String) -> String?, body: [UInt8], secrets: [WebhookSecret], now: Int64
    ) throws(Refusal) {
        guard let id = header("webhook-id"), let sent = header("webhook-timestamp"),
            let signatures = header("webhook-signature"), !id.isEmpty
        else { throw .headerMissing }
        guard let timestamp = Int64(sent), timestamp >= 0 else { throw .timestampMalformed }
        if timestamp < now - tolerance { throw .timestampTooOld }
        if timestamp > now + tolerance { throw .timestampTooNew }
        let expected = secrets.map { mac(id: id, timestamp: timestamp, body: body, secret: $0) }
        for signature in signatures.split(separator: " ") where signature.hasPrefix("v1,") {
            guard let given = Encoding.bytes(base64: signature.dropFirst(3)) else { continue }
            if expected.contains(where: { Digest.constantTimeEquals($0, given) }) { return }
        }
        throw .noMatchingSignature
    }

    private static func mac(id: String, timestamp: Int64, body: [UInt8], secret: WebhookSecret) -> [UInt8] {
        Digest.hmacSHA256(key: secret.key, Array("\(id).\(timestamp).".utf8) + body)
    }
}
