import Foundation

/// A data key as it is stored: wrapped by a key-encryption key of the keyring.
///
/// `wrapped` is, in version 1: `version 1 · length of the KEK id 1 · KEK id · nonce 12 · ciphertext 32 · tag 16`;
/// documented in `docs/vault-format.md`.
package struct WrappedDataKey: Sendable, Hashable {
    package let id: UUID
    package let environmentID: Int64
    /// The id of the key-encryption key, also inside `wrapped`; kept beside it so that rows can be counted by it.
    package let kekID: String
    package let wrapped: [UInt8]
    package let createdAt: Date
    /// Values sealed under it, as far as processes have reported (``DataKeyRepository/addSeals(id:count:)``).
    package let seals: Int64

    package init(
        id: UUID, environmentID: Int64, kekID: String, wrapped: [UInt8], createdAt: Date, seals: Int64 = 0
    ) {
        self.id = id
        self.environmentID = environmentID
        self.kekID = kekID
        self.wrapped = wrapped
        self.createdAt = createdAt
        self.seals = seals
    }
}

/// Where wrapped data keys are kept. `Store` implements it on Postgres, tests in memory.
package protocol DataKeyRepository: Sendable {
    /// The newest data key of an environment, by `createdAt`; nil when it has none.
    func newest(environmentID: Int64) async throws -> WrappedDataKey?
    /// The newest data key of every environment that has one.
    func newestOfEach() async throws -> [WrappedDataKey]
    func find(id: UUID) async throws -> WrappedDataKey?
    /// Stores a data key durably and returns it, or the one to use instead when another process stored one at the same
    /// moment. A key that replaces an older one must be stored: an environment has as many as it ever used.
    func insert(_ key: WrappedDataKey) async throws -> WrappedDataKey
    /// Adds `count` to the seals of a data key.
    func addSeals(id: UUID, count: Int64) async throws
}
