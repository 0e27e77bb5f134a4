import CLibCrypto
import Credentials

/// SHA-256 (FIPS 180-4), HMAC (RFC 2104) and HKDF (RFC 5869) over it, and comparison in constant time.
///
/// None of them throws: they fail only when OpenSSL has no SHA-256 at all or no memory is left, and then the process
/// must not go on.
package enum Digest {
    /// Length of a SHA-256 digest and of an HMAC over it, in bytes.
    package static let length = 32

    package static func sha256(_ bytes: some Collection<UInt8>) -> [UInt8] {
        withContiguous(bytes) { input in
            output(Digest.length) { EVP_Digest(input.baseAddress, input.count, $0, nil, EVP_sha256(), nil) == 1 }
        }
    }

    /// SHA-256 of the UTF-8 bytes of `text`.
    package static func sha256(_ text: String) -> [UInt8] { sha256(text.utf8) }

    package static func sha256(_ secret: Secret) -> [UInt8] { secret.withBytes { sha256($0) } }

    package static func hmacSHA256(key: some Collection<UInt8>, _ message: some Collection<UInt8>) -> [UInt8] {
        withContiguous(key) { key in
            withContiguous(message) { message in
                output(Digest.length) {
                    let start = message.baseAddress?.assumingMemoryBound(to: UInt8.self)
                    return HMAC(EVP_sha256(), key.baseAddress, Int32(key.count), start, message.count, $0, nil) != nil
                }
            }
        }
    }

    package static func hmacSHA256(key: Secret, _ message: some Collection<UInt8>) -> [UInt8] {
        key.withBytes { hmacSHA256(key: $0, message) }
    }

    /// A key of `length` bytes for one purpose, from a key for several: HKDF-SHA256, extract and expand.
    /// - Parameters:
    ///   - purpose: RFC 5869's `info`; different purposes give independent keys.
    ///   - length: 1 to 8160 bytes.
    package static func hkdfSHA256(
        key: Secret, salt: [UInt8] = [], purpose: [UInt8], length: Int = Digest.length
    ) -> Secret {
        precondition((1...255 * Digest.length).contains(length), "HKDF-SHA256 gives 1 to 8160 bytes (RFC 5869 §2.3)")
        var derived = [UInt8](repeating: 0, count: length)
        defer { derived.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        let done = key.withBytes { key in
            derived.withUnsafeMutableBytes { output in
                evergrant_hkdf_sha256(
                    Fetched.hkdf.pointer, key.baseAddress, key.count, salt, salt.count, purpose, purpose.count,
                    output.baseAddress, output.count)
            }
        }
        precondition(done == 1, "OpenSSL offers no HKDF with SHA-256")
        return Secret(derived)
    }

    /// Whether both are the same bytes, in time that depends on the lengths only.
    package static func constantTimeEquals(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        withContiguous(left) { left in
            withContiguous(right) { right in
                guard left.count == right.count else { return false }
                guard let a = left.baseAddress, let b = right.baseAddress else { return true }
                return CRYPTO_memcmp(a, b, left.count) == 0
            }
        }
    }

    private static func output(_ count: Int, _ body: (UnsafeMutablePointer<UInt8>?) -> Bool) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            precondition(body(buffer.baseAddress), "OpenSSL offers no SHA-256")
            initialized = count
        }
    }

    private static func withContiguous<T>(
        _ bytes: some Collection<UInt8>, _ body: (UnsafeRawBufferPointer) -> T
    ) -> T {
        bytes.withContiguousStorageIfAvailable { body(UnsafeRawBufferPointer($0)) }
            ?? Array(bytes).withUnsafeBytes(body)
    }
}

/// Algorithms that are looked up once: a look-up in OpenSSL 3 takes locks and costs more than the algorithm on a
/// short message.
enum Fetched {
    struct Algorithm: @unchecked Sendable {
        // The pointee is reference-counted, never freed here and never changed after the look-up.
        let pointer: OpaquePointer?
    }

    static let aes256GCM = Algorithm(pointer: EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))
    static let hkdf = Algorithm(pointer: EVP_KDF_fetch(nil, "HKDF", nil))
}
