import Credentials
import Foundation

/// One sealed value, version 1: `version 1 · data-key id 16 · nonce 12 · ciphertext n · tag 16`.
/// Documented to the byte, with its associated data, in `docs/vault-format.md`.
struct SealedValue {
    static let version: UInt8 = 1
    /// Bytes a sealed value has more than its plaintext.
    static let overhead = 1 + 16 + AESGCM.nonceLength + AESGCM.tagLength

    let dataKeyID: UUID
    private let bytes: [UInt8]

    /// Reads the head of a sealed value; nothing is verified yet.
    /// - Throws: ``VaultError`` with code `malformed` when it is too short or of an unknown version.
    init(parsing bytes: [UInt8]) throws(VaultError) {
        guard bytes.count >= Self.overhead, let id = UUID(bytes: bytes[1..<17]) else {
            throw VaultError(
                .malformed, item: "a sealed value", problem: "has \(bytes.count) bytes, fewer than \(Self.overhead)",
                hint: "it was cut short: restore the row from a backup, or reconnect")
        }
        guard bytes[0] == Self.version else {
            throw VaultError(
                .malformed, item: "a sealed value", problem: "has format version \(bytes[0]), not \(Self.version)",
                hint: "run the version of evergrant that wrote it, or a newer one")
        }
        dataKeyID = id
        self.bytes = bytes
    }

    /// Seals `secret` for its place.
    /// - Parameter nonce: 12 bytes; drawn at random unless a test gives them.
    static func seal(
        _ secret: Secret, under key: Secret, id: UUID, _ context: SealContext,
        nonce: [UInt8] = SecureRandom.bytes(AESGCM.nonceLength)
    ) throws(VaultError) -> [UInt8] {
        var sealed: [UInt8] = []
        sealed.reserveCapacity(overhead + secret.count)
        sealed.append(version)
        sealed.append(contentsOf: id.bytes)
        sealed.append(contentsOf: nonce)
        try AESGCM.seal(
            secret, key: key, nonce: nonce, associatedData: associatedData(id, context), appendingTo: &sealed)
        return sealed
    }

    /// The secret, or nil when value, key and place do not belong together.
    func open(under key: Secret, _ context: SealContext) throws(VaultError) -> Secret? {
        try AESGCM.open(
            bytes[29...], key: key, nonce: bytes[17..<29], associatedData: Self.associatedData(dataKeyID, context))
    }

    static func associatedData(_ id: UUID, _ context: SealContext) throws(VaultError) -> [UInt8] {
        var data = AssociatedData(version: version)
        data.append(fixed: id)
        try data.append(field: context.purpose.utf8)
        try data.append(field: context.environmentID)
        try data.append(field: context.rowID.utf8)
        try data.append(field: context.generation)
        return data.bytes
    }
}
