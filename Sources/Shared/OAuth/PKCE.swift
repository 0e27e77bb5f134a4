import Credentials
import Vault

/// Proof key for code exchange, method S256 (RFC 7636).
package struct PKCE: Sendable {
    package let verifier: Secret

    /// Draws a verifier of 256 random bits: 43 characters (RFC 7636 §4.1).
    package init() { verifier = Secret(SecureRandom.token(bytes: 32)) }

    /// - Throws: ``InvalidValue`` unless it is 43 to 128 unreserved characters (RFC 7636 §4.1).
    package init(verifier: Secret) throws(InvalidValue) {
        let isValid = verifier.withBytes { bytes in
            (43...128).contains(bytes.count) && bytes.allSatisfy(FormEncoding.isUnreserved)
        }
        guard isValid else {
            throw InvalidValue(
                item: "code verifier", problem: "is not 43 to 128 unreserved characters", repair: "draw a new one")
        }
        self.verifier = verifier
    }

    /// The S256 challenge: base64url of the SHA-256 of the verifier, without padding (RFC 7636 §4.2).
    package var challenge: String { Encoding.base64url(Digest.sha256(verifier)) }
}
