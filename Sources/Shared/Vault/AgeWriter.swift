import CLibCrypto
import Credentials

/// Encrypts a stream to age recipients, so that only the holders of their secret keys can read it: the format of
/// `age` version 1 (https://age-encryption.org/v1), written piece by piece in bounded memory.
package struct AgeWriter: Sendable {
    /// Plaintext bytes of one sealed chunk (STREAM).
    private static let chunk = 64 * 1024

    private let payloadKey: Secret
    private var counter: UInt64 = 0
    private var held: [UInt8] = []
    private var isFinished = false
    /// What stands before the first chunk; sent with it.
    private var pending: [UInt8]

    /// - Throws: ``VaultError`` when a key cannot be agreed on; ``InvalidValue`` without a recipient.
    package init(recipients: [AgeRecipient]) throws {
        guard !recipients.isEmpty, recipients.count <= 20 else {
            throw InvalidValue(item: "recipient", problem: "is missing, or one of over 20", repair: "give 1 to 20")
        }
        let fileKey = Secret(SecureRandom.bytes(16))
        var header = "age-encryption.org/v1\n"
        for recipient in recipients {
            let (shared, ephemeral) = try X25519.agree(with: recipient.publicKey)
            let wrapping = Digest.hkdfSHA256(
                key: shared, salt: ephemeral + recipient.publicKey, purpose: Array("age-encryption.org/v1/X25519".utf8))
            let body = try ChaCha20Poly1305.seal(
                fileKey.revealed(), key: wrapping, nonce: [UInt8](repeating: 0, count: 12))
            header += "-> X25519 \(Self.base64(ephemeral))\n\(Self.base64(body))\n"
        }
        header += "---"
        let mac = Digest.hmacSHA256(
            key: Digest.hkdfSHA256(key: fileKey, purpose: Array("header".utf8)), Array(header.utf8))
        let nonce = SecureRandom.bytes(16)
        payloadKey = Digest.hkdfSHA256(key: fileKey, salt: nonce, purpose: Array("payload".utf8))
        pending = Array((header + " \(Self.base64(mac))\n").utf8) + nonce
    }

    /// What can be written out now.
    package mutating func append(_ bytes: some Collection<UInt8>) throws -> [UInt8] {
        held += bytes
        var out = take()
        // The last chunk is marked, and may not be empty unless it is the only one: one is always held back.
        while held.count > Self.chunk {
            out += try seal(Array(held.prefix(Self.chunk)), isLast: false)
            held.removeFirst(Self.chunk)
        }
        return out
    }

    /// The end. Without it a reader knows that the stream was cut.
    package mutating func finish() throws -> [UInt8] {
        guard !isFinished else { return [] }
        isFinished = true
        defer { held = [] }
        return take() + (try seal(held, isLast: true))
    }

    private mutating func take() -> [UInt8] {
        defer { pending = [] }
        return pending
    }

    /// Nonce: 11 bytes of counter, one that marks the last chunk.
    private mutating func seal(_ plain: [UInt8], isLast: Bool) throws -> [UInt8] {
        defer { counter += 1 }
        let nonce = [0, 0, 0] + withUnsafeBytes(of: counter.bigEndian) { Array($0) } + [isLast ? 1 : 0]
        return try ChaCha20Poly1305.seal(plain, key: payloadKey, nonce: nonce)
    }

    private static func base64(_ bytes: [UInt8]) -> String { Encoding.base64(bytes).replacing("=", with: "") }
}

/// ChaCha20-Poly1305 (RFC 8439) through OpenSSL EVP, without associated data.
enum ChaCha20Poly1305 {
    /// Ciphertext and tag.
    static func seal(_ plain: [UInt8], key: Secret, nonce: [UInt8]) throws(VaultError) -> [UInt8] {
        guard let state = EVP_CIPHER_CTX_new() else { throw VaultError.openSSL("sealing with ChaCha20-Poly1305") }
        defer { EVP_CIPHER_CTX_free(state) }
        var output = [UInt8](repeating: 0, count: plain.count + 16)
        var written: Int32 = 0
        var rest: Int32 = 0
        let done = key.withBytes { key in
            output.withUnsafeMutableBytes { output in
                guard let target = output.bindMemory(to: UInt8.self).baseAddress else { return false }
                let start = key.bindMemory(to: UInt8.self).baseAddress
                return EVP_EncryptInit_ex(state, EVP_chacha20_poly1305(), nil, start, nonce) == 1
                    && (plain.isEmpty
                        || EVP_EncryptUpdate(state, target, &written, plain, Int32(plain.count)) == 1)
                    && EVP_EncryptFinal_ex(state, target + Int(written), &rest) == 1
                    && EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_GET_TAG, 16, target + plain.count) == 1
            }
        }
        guard done, Int(written) == plain.count, nonce.count == 12 else {
            ERR_clear_error()
            throw VaultError.openSSL("sealing with ChaCha20-Poly1305")
        }
        return output
    }
}
