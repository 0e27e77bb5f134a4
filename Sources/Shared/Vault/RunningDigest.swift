import CLibCrypto

/// SHA-256 of bytes that come in pieces (FIPS 180-4).
package struct RunningDigest: ~Copyable {
    private let state: OpaquePointer?

    package init() {
        state = EVP_MD_CTX_new()
        precondition(state != nil && EVP_DigestInit_ex(state, EVP_sha256(), nil) == 1, "OpenSSL offers no SHA-256")
    }

    deinit { EVP_MD_CTX_free(state) }

    package mutating func append(_ bytes: some Sequence<UInt8>) {
        let added: Void? = bytes.withContiguousStorageIfAvailable { add(UnsafeRawBufferPointer($0)) }
        if added == nil { Array(bytes).withUnsafeBytes { add($0) } }
    }

    private func add(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(state, bytes.baseAddress, bytes.count) == 1, "OpenSSL offers no SHA-256")
    }

    /// The digest of all that came.
    package consuming func finish() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Digest.length) { buffer, initialized in
            precondition(EVP_DigestFinal_ex(state, buffer.baseAddress, nil) == 1, "OpenSSL offers no SHA-256")
            initialized = Digest.length
        }
    }
}
