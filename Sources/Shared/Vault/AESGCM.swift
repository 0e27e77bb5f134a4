import CLibCrypto
import Credentials

/// AES-256-GCM (NIST SP 800-38D) through OpenSSL EVP: 96-bit nonces, 128-bit tags.
enum AESGCM {
    static let keyLength = 32
    static let nonceLength = 12
    static let tagLength = 16

    /// Appends ciphertext and tag to `output`.
    ///
    /// - Parameter nonce: 12 bytes that were never used with this key before.
    static func seal(
        _ plaintext: Secret, key: Secret, nonce: [UInt8], associatedData: [UInt8], appendingTo output: inout [UInt8]
    ) throws(VaultError) {
        let start = output.count
        let length = plaintext.count
        guard Int32(exactly: length) != nil else {
            throw VaultError(
                .tooLarge, item: "a secret", problem: "has \(length) bytes", hint: "seal at most 2 GiB at once")
        }
        output.append(contentsOf: repeatElement(0, count: length + tagLength))
        let done = output.withUnsafeMutableBytes { buffer in
            plaintext.withBytes { plain in
                let target = UnsafeMutableRawBufferPointer(rebasing: buffer[start...])
                return encrypt(plain, key: key, nonce: nonce, associatedData: associatedData, into: target)
            }
        }
        guard done else {
            ERR_clear_error()
            output.removeLast(output.count - start)
            throw VaultError.openSSL("sealing with AES-256-GCM")
        }
    }

    /// The plaintext, or nil when the tag does not fit: wrong key, nonce, associated data, ciphertext or tag.
    /// - Parameter sealed: ciphertext and tag.
    static func open(
        _ sealed: ArraySlice<UInt8>, key: Secret, nonce: ArraySlice<UInt8>, associatedData: [UInt8]
    ) throws(VaultError) -> Secret? {
        guard sealed.count >= tagLength, nonce.count == nonceLength, Int32(exactly: sealed.count) != nil else {
            return nil
        }
        guard let cipher = Fetched.aes256GCM.pointer, let state = EVP_CIPHER_CTX_new() else {
            throw VaultError.openSSL("opening with AES-256-GCM")
        }
        defer { EVP_CIPHER_CTX_free(state) }
        let length = sealed.count - tagLength
        // At least one byte: OpenSSL takes a null output pointer for "this is associated data".
        let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: max(length, 1), alignment: 16)
        defer {
            OPENSSL_cleanse(plain.baseAddress, plain.count)
            plain.deallocate()
        }
        let target = plain.assumingMemoryBound(to: UInt8.self).baseAddress
        var tag = Array(sealed.suffix(tagLength))
        var written: Int32 = 0
        let opened = key.withBytes { key in
            sealed.withUnsafeBufferPointer { input in
                nonce.withUnsafeBufferPointer { nonce in
                    key.count == keyLength
                        && EVP_DecryptInit_ex2(
                            state, cipher, key.baseAddress?.assumingMemoryBound(to: UInt8.self), nonce.baseAddress, nil)
                            == 1
                        && EVP_DecryptUpdate(state, nil, &written, associatedData, Int32(associatedData.count)) == 1
                        && (length == 0
                            || EVP_DecryptUpdate(state, target, &written, input.baseAddress, Int32(length)) == 1)
                        && EVP_CIPHER_CTX_ctrl(state, EVP_CTRL_AEAD_SET_TAG, Int32(tagLength), &tag) == 1
                        && EVP_DecryptFinal_ex(state, target, &written) == 1
                }
            }
        }
        guard opened else {
            ERR_clear_error()
            return nil
        }
        return Secret(plain.prefix(length))
    }

    private static func encrypt(
        _ plain: UnsafeRawBufferPointer, key: Secret, nonce: [UInt8], associatedData: [UInt8],
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard let cipher = Fetched.aes256GCM.pointer, let state = EVP_CIPHER_CTX_new() else { return false }
        defer { EVP_CIPHER_CTX_free(state) }
        let output = buffer.assumingMemoryBound(to: UInt8.self).baseAddress
        let input = plain.assumingMemoryBound(to: UInt8.self).baseAddress
        var written: Int32 = 0
        return key.withBytes { key in
            key.count == keyLength && nonce.count == nonceLength
                && EVP_EncryptInit_ex2(
                    state, cipher, key.baseAddress?.assumingMemoryBound(to: UInt8.self), nonce, nil) == 1
                && EVP_EncryptUpdate(state, nil, &written, associatedData, Int32(associatedData.count)) == 1
                && (plain.isEmpty || EVP_EncryptUpdate(state, output, &written, input, Int32(plain.count)) == 1)
                && EVP_EncryptFinal_ex(state, output, &written) == 1
                && EVP_CIPHER_CTX_ctrl(
                    state, EVP_CTRL_AEAD_GET_TAG, Int32(tagLength), output.map { $0 + plain.count }) == 1
        }
    }
}
