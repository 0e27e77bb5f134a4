import CLibCrypto
import NIOCore
import Vault

/// SHA-256 over a body as it streams by.
final class BodyDigest {
    private let context: OpaquePointer?
    private(set) var bytes = 0

    init() {
        context = EVP_MD_CTX_new()
        EVP_DigestInit_ex(context, EVP_sha256(), nil)
    }

    deinit { EVP_MD_CTX_free(context) }

    func add(_ buffer: ByteBuffer) {
        bytes += buffer.readableBytes
        buffer.withUnsafeReadableBytes { _ = EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    }

    /// The digest in lower-case hexadecimal. Ends it: nothing can be added later.
    func finish() -> String {
        var digest = [UInt8](repeating: 0, count: Digest.length)
        EVP_DigestFinal_ex(context, &digest, nil)
        return Encoding.hex(digest)
    }
}
