import Foundation

/// The place a sealed value belongs to. It is bound into the value, so that a value copied to another row, tenant or
/// generation does not open.
package struct SealContext: Sendable, Hashable {
    /// What the value is for, for example `token_set` or `client_secret`: a constant of the code.
    package let purpose: String
    package let environmentID: Int64
    /// The row's own id as text.
    package let rowID: String
    /// The generation of the row the value was written for; 0 where rows have none.
    package let generation: Int64

    package init(purpose: String, environmentID: Int64, rowID: String, generation: Int64 = 0) {
        self.purpose = purpose
        self.environmentID = environmentID
        self.rowID = rowID
        self.generation = generation
    }
}

/// Associated data in one unambiguous spelling: fixed parts, then fields each after its length.
/// The format is documented to the byte in `docs/vault-format.md`.
struct AssociatedData {
    private(set) var bytes: [UInt8]

    init(version: UInt8) { bytes = [version] }

    /// Appends the 16 bytes of `id`, big-endian as in RFC 9562 §4.
    mutating func append(fixed id: UUID) { bytes.append(contentsOf: id.bytes) }

    /// Appends the length of `field` as 4 bytes, big-endian, and then `field`.
    mutating func append(field: some Collection<UInt8>) throws(VaultError) {
        guard let length = UInt32(exactly: field.count), length < 1 << 24 else {
            throw VaultError(
                .tooLarge, item: "a field of the associated data", problem: "has \(field.count) bytes",
                hint: "name the place of a value in less than 16 MiB")
        }
        withUnsafeBytes(of: length.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: field)
    }

    /// Appends `number` as a field of 8 bytes, big-endian, two's complement.
    mutating func append(field number: Int64) throws(VaultError) {
        try append(field: withUnsafeBytes(of: number.bigEndian) { Array($0) })
    }
}

extension UUID {
    /// The 16 bytes, big-endian as in RFC 9562 §4 and as Postgres sends them.
    var bytes: [UInt8] { withUnsafeBytes(of: uuid) { Array($0) } }

    /// Reads 16 bytes; nil for any other number.
    init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        var value = zeroUUID
        withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes) }
        self.init(uuid: value)
    }
}

private let zeroUUID: uuid_t = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
