import Credentials
import Vault

/// The key that signs an endpoint's webhooks, in the text form of Standard Webhooks: `whsec_` and base64 of 24 to 64
/// random bytes (specification, "Signature scheme").
package struct WebhookSecret: Sendable, Hashable, CustomStringConvertible {
    private static let prefix = "whsec_"
    private static let lengths = 24...64

    /// The bytes that HMAC is keyed with.
    package let key: Secret

    /// Draws a new secret of 32 bytes.
    package init() { key = Secret(SecureRandom.bytes(32)) }

    /// Reads a secret, with or without its prefix.
    /// - Throws: ``InvalidValue``, which does not quote it.
    package init(parsing text: Secret) throws(InvalidValue) {
        let bytes = text.withText { text in
            Encoding.bytes(base64: text.hasPrefix(Self.prefix) ? text.dropFirst(Self.prefix.count) : text[...])
        }
        guard let bytes else {
            throw InvalidValue(
                item: "webhook secret", problem: "is not \(Self.prefix) followed by base64",
                repair: "leave it out to have one made, or send \(Self.prefix) and the base64 of 32 random bytes")
        }
        guard Self.lengths.contains(bytes.count) else {
            throw InvalidValue(
                item: "webhook secret", problem: "has \(bytes.count) bytes",
                repair: "use \(Self.lengths.lowerBound) to \(Self.lengths.upperBound), as Standard Webhooks asks")
        }
        key = Secret(bytes)
    }

    /// The text that the receiver is configured with. It is shown once, when it is made.
    package var text: Secret { Secret(Self.prefix + key.withBytes { Encoding.base64($0) }) }

    package var description: String { "<redacted>" }
}
