import Credentials
import Foundation

/// A key that wraps data keys, and whether it is the one for new data keys.
package struct KeyEncryptionKey: Sendable, Hashable {
    package let id: String
    /// 32 bytes.
    package let key: Secret
    package let isPrimary: Bool

    package init(id: String, key: Secret, isPrimary: Bool) {
        self.id = id
        self.key = key
        self.isPrimary = isPrimary
    }
}

/// Key-encryption keys by id. The primary wraps new data keys; all of them unwrap.
package struct Keyring: Sendable {
    private static let version: UInt8 = 1

    package let primaryID: String
    private let keys: [String: Secret]

    /// All key ids, sorted.
    package var ids: [String] { keys.keys.sorted() }

    /// - Throws: ``VaultError`` with code `keyringMalformed` when there is no key, an id or key has the wrong form, an
    ///   id appears twice, or not exactly one key is primary (a single key needs no mark).
    package init(_ keys: [KeyEncryptionKey]) throws(VaultError) {
        func malformed(_ problem: String, _ hint: String) -> VaultError {
            VaultError(.keyringMalformed, item: "the keyring", problem: problem, hint: hint)
        }
        guard let first = keys.first else { throw malformed("has no key", "add one: \(KeyringText.lineForm)") }
        var byID: [String: Secret] = [:]
        for key in keys {
            try KeyringText.check(id: key.id, key: key.key, place: "the keyring")
            guard byID.updateValue(key.key, forKey: key.id) == nil else {
                throw malformed("has two keys with the id \(key.id)", "give each key its own id")
            }
        }
        let primaries = keys.filter(\.isPrimary).map(\.id)
        guard primaries.count <= 1 else {
            throw malformed(
                "has \(primaries.count) primary keys (\(primaries.joined(separator: ", ")))",
                "mark one only: it wraps new data keys")
        }
        guard let primary = primaries.first ?? (keys.count == 1 ? first.id : nil) else {
            throw malformed(
                "has \(keys.count) keys and none is primary", "add the word primary to the line of one key")
        }
        primaryID = primary
        self.keys = byID
    }

    /// Reads every source into one ring. Their keys are taken together: one of them all is primary.
    package init(loading sources: [any KeyEncryptionKeySource]) throws(VaultError) {
        var keys: [KeyEncryptionKey] = []
        for source in sources { keys += try source.load() }
        try self.init(keys)
    }

    /// Draws a new data key for an environment and wraps it under the primary key.
    package func newDataKey(environmentID: Int64, at moment: Date) throws(VaultError) -> (WrappedDataKey, Secret) {
        let key = Secret(SecureRandom.bytes(AESGCM.keyLength))
        return (try wrap(key, id: UUID(), environmentID: environmentID, at: moment), key)
    }

    /// Wraps a data key under the primary key.
    func wrap(
        _ dataKey: Secret, id: UUID, environmentID: Int64, at moment: Date,
        nonce: [UInt8] = SecureRandom.bytes(AESGCM.nonceLength)
    ) throws(VaultError) -> WrappedDataKey {
        guard let kek = keys[primaryID] else {
            throw cannotOpen(kekID: primaryID, id: id, environmentID: environmentID)
        }
        var wrapped: [UInt8] = [Self.version, UInt8(primaryID.utf8.count)]
        wrapped.append(contentsOf: primaryID.utf8)
        wrapped.append(contentsOf: nonce)
        try AESGCM.seal(
            dataKey, key: kek, nonce: nonce,
            associatedData: try Self.associatedData(id: id, kekID: primaryID, environmentID: environmentID),
            appendingTo: &wrapped)
        return WrappedDataKey(
            id: id, environmentID: environmentID, kekID: primaryID, wrapped: wrapped, createdAt: moment)
    }

    /// Opens a data key with the key-encryption key it names.
    /// - Throws: ``VaultError`` with code `keyringCannotOpen`, naming the id wanted and the ids present, or `malformed`.
    package func unwrap(_ dataKey: WrappedDataKey) throws(VaultError) -> Secret {
        let bytes = dataKey.wrapped
        guard bytes.count > 2, bytes[0] == Self.version,
            bytes.count == 2 + Int(bytes[1]) + AESGCM.nonceLength + AESGCM.keyLength + AESGCM.tagLength
        else {
            throw VaultError(
                .malformed, item: "wrapped data key \(dataKey.id.uuidString.lowercased())",
                problem: bytes.first.map { $0 == Self.version ? "is cut short or padded" : "has format version \($0)" }
                    ?? "is empty",
                hint: "restore the row from a backup, or run the version of evergrant that wrote it")
        }
        let nonceStart = 2 + Int(bytes[1])
        let sealedStart = nonceStart + AESGCM.nonceLength
        let kekID = String(decoding: bytes[2..<nonceStart], as: UTF8.self)
        guard let kek = keys[kekID],
            let opened = try AESGCM.open(
                bytes[sealedStart...], key: kek, nonce: bytes[nonceStart..<sealedStart],
                associatedData: try Self.associatedData(
                    id: dataKey.id, kekID: kekID, environmentID: dataKey.environmentID))
        else { throw cannotOpen(kekID: kekID, id: dataKey.id, environmentID: dataKey.environmentID) }
        return opened
    }

    private func cannotOpen(kekID: String, id: UUID, environmentID: Int64) -> VaultError {
        let item = "data key \(id.uuidString.lowercased()) of environment \(environmentID)"
        let present = ids.joined(separator: ", ")
        guard keys[kekID] == nil else {
            return VaultError(
                .keyringCannotOpen, item: item,
                problem: "was wrapped under key \(kekID), and the keyring's key of that id does not open it"
                    + " (the keyring holds \(present))",
                hint: "put back the key that had this id, or restore the row if it was altered")
        }
        let shown = KeyringText.isValid(id: kekID) ? kekID : "with an unreadable id"
        return VaultError(
            .keyringCannotOpen, item: item,
            problem: "was wrapped under key \(shown), which the keyring lacks (it holds \(present))",
            hint: "add that key to the keyring; without it nothing sealed under this data key can be opened")
    }

    /// `version 1 · data-key id 16`, then as fields: `data_key`, KEK id, environment id.
    private static func associatedData(id: UUID, kekID: String, environmentID: Int64) throws(VaultError) -> [UInt8] {
        var data = AssociatedData(version: version)
        data.append(fixed: id)
        try data.append(field: "data_key".utf8)
        try data.append(field: kekID.utf8)
        try data.append(field: environmentID)
        return data.bytes
    }
}
