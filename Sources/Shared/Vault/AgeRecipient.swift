import CLibCrypto
import Credentials

/// Whom a file is encrypted to: an X25519 public key of age (https://age-encryption.org/v1), `age1…`.
package struct AgeRecipient: Sendable, Hashable, CustomStringConvertible {
    /// 32 bytes.
    let publicKey: [UInt8]
    package let description: String

    /// Reads `age1…`: Bech32 (BIP 173) of 32 bytes.
    /// - Throws: ``InvalidValue`` that says what is wrong; a key that opens (`AGE-SECRET-KEY-1…`) is refused unread.
    package init(parsing text: String) throws(InvalidValue) {
        func refused(_ problem: String) -> InvalidValue {
            InvalidValue(
                item: "recipient", problem: problem,
                repair: "give the public key that `age-keygen` prints: age1 and 58 more characters")
        }
        if text.uppercased().hasPrefix("AGE-SECRET-KEY-") {
            throw refused("is a secret key, which should never be shown to anybody")
        }
        guard text.hasPrefix("age1"), text.utf8.count == 62 else { throw refused("is not of the form age1…") }
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
        var values: [UInt8] = []
        for byte in text.utf8.dropFirst(4) {
            guard let index = alphabet.firstIndex(of: byte) else { throw refused("has a character that no key has") }
            values.append(UInt8(index))
        }
        guard Self.checksum(values) else { throw refused("is mistyped: its checksum does not fit") }
        var bytes: [UInt8] = []
        var bits = 0
        var held: UInt32 = 0
        for value in values.dropLast(6) {
            held = (held << 5 | UInt32(value)) & 0xFFF
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: held >> UInt32(bits)))
            }
        }
        guard bytes.count == 32, held & ((1 << UInt32(bits)) - 1) == 0 else { throw refused("has the wrong length") }
        publicKey = bytes
        description = text
    }

    /// BIP 173, with the human-readable part `age`.
    private static func checksum(_ values: [UInt8]) -> Bool {
        let generators: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
        var sum: UInt32 = 1
        let name = Array("age".utf8)
        for value in name.map({ $0 >> 5 }) + [0] + name.map({ $0 & 31 }) + values {
            let top = sum >> 25
            sum = (sum & 0x1ff_ffff) << 5 ^ UInt32(value)
            for (index, generator) in generators.enumerated() where (top >> UInt32(index)) & 1 == 1 { sum ^= generator }
        }
        return sum == 1
    }
}

/// X25519 (RFC 7748) through OpenSSL EVP.
enum X25519 {
    /// The shared secret and the public key of a fresh private key.
    static func agree(with peer: [UInt8]) throws(VaultError) -> (shared: Secret, publicKey: [UInt8]) {
        let fresh = SecureRandom.bytes(32)
        guard let own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, fresh, 32) else {
            throw VaultError.openSSL("making an X25519 key")
        }
        defer { EVP_PKEY_free(own) }
        guard let other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, peer, 32) else {
            throw VaultError.openSSL("reading an X25519 key")
        }
        defer { EVP_PKEY_free(other) }
        guard let state = EVP_PKEY_CTX_new(own, nil) else { throw VaultError.openSSL("X25519") }
        defer { EVP_PKEY_CTX_free(state) }
        var shared = [UInt8](repeating: 0, count: 32)
        defer { shared.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        var length = 32
        var publicKey = [UInt8](repeating: 0, count: 32)
        var publicLength = 32
        // A peer key of small order gives an all-zero secret, which OpenSSL refuses (RFC 7748 §6.1).
        guard EVP_PKEY_derive_init(state) == 1, EVP_PKEY_derive_set_peer(state, other) == 1,
            EVP_PKEY_derive(state, &shared, &length) == 1,
            EVP_PKEY_get_raw_public_key(own, &publicKey, &publicLength) == 1
        else {
            ERR_clear_error()
            throw VaultError.openSSL("agreeing on a key with X25519")
        }
        return (Secret(shared), publicKey)
    }
}
