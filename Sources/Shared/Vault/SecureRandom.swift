import CLibCrypto

/// Random bytes fit for keys, nonces and tokens: OpenSSL's generator, seeded by the kernel and safe over `fork`.
package enum SecureRandom {
    /// `count` random bytes. Should OpenSSL's generator fail, they come from the kernel's `getrandom(2)`.
    package static func bytes(_ count: Int) -> [UInt8] {
        precondition(count >= 0 && count <= 1 << 20, "random bytes are drawn up to 1 MiB at a time")
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            if count > 0, RAND_bytes(buffer.baseAddress, Int32(count)) != 1 {
                ERR_clear_error()
                var kernel = SystemRandomNumberGenerator()
                for index in 0..<count { buffer.initializeElement(at: index, to: kernel.next()) }
            }
            initialized = count
        }
    }

    /// A random token in base64url without padding; 32 bytes make 43 characters.
    package static func token(bytes count: Int = 32) -> String { Encoding.base64url(bytes(count)) }

    /// A random token in lower-case hexadecimal; 16 bytes make 32 digits.
    package static func hex(bytes count: Int = 16) -> String { Encoding.hex(bytes(count)) }
}
