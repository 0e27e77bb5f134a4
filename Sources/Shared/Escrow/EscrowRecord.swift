import Foundation

/// What a line of the journal says.
package enum EscrowKind: UInt8, Sendable {
    /// A refresh token is about to be presented.
    case intent = 1
    /// A provider answered a refresh with a token set.
    case refreshAnswer = 2
    /// A provider answered a code exchange.
    case exchangeAnswer = 3
    /// The line with this key needs nothing more; the payload's one byte is an ``EscrowSettlement``.
    case settled = 4
}

/// What became of a line.
package enum EscrowSettlement: UInt8, Sendable {
    /// Refused, never sent, or known to be of no use.
    case noUse = 0
    /// It became the connection's token set.
    case committed = 1
    /// Kept as an alternate.
    case alternate = 2
}

/// A line with what became of it; nil while that is open.
package struct EscrowEntry: Sendable, Hashable {
    package let record: EscrowRecord
    package let settlement: EscrowSettlement?
}

/// One line of the journal. The payload is the caller's; secrets in it are sealed.
package struct EscrowRecord: Sendable, Hashable {
    package let kind: EscrowKind
    /// The attempt's nonce.
    package let key: UUID
    package let payload: [UInt8]

    package init(kind: EscrowKind, key: UUID, payload: [UInt8]) {
        self.kind = kind
        self.key = key
        self.payload = payload
    }
}

/// Why the journal cannot be used: which path, what is wrong, how to repair it.
package struct EscrowError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable { case notWritable, writeFailed, closed }
    package let code: Code
    package let description: String
}

/// The journal's bytes: a file is an 8-byte magic and then lines of
/// `length (4, little endian) · CRC-32 of the body (4) · kind (1) · key (16) · payload`.
enum EscrowFormat {
    static let magic: [UInt8] = Array("EGESCRW1".utf8)
    /// Longest body that a reader believes; a longer one is a torn or foreign line.
    static let maximumBody = 4 << 20

    static func encode(_ record: EscrowRecord) -> [UInt8] {
        var body: [UInt8] = [record.kind.rawValue]
        withUnsafeBytes(of: record.key.uuid) { body.append(contentsOf: $0) }
        body.append(contentsOf: record.payload)
        var line: [UInt8] = []
        line.reserveCapacity(body.count + 8)
        line.append(littleEndian: UInt32(body.count))
        line.append(littleEndian: checksum(body))
        line.append(contentsOf: body)
        return line
    }

    /// Reads the lines up to the first that is torn or altered: what follows it was never acknowledged.
    static func decode(_ bytes: [UInt8]) -> [EscrowRecord] {
        guard bytes.starts(with: magic) else { return [] }
        var records: [EscrowRecord] = []
        var position = magic.count
        while position + 8 <= bytes.count {
            let length = Int(bytes.littleEndian(at: position))
            let expected = bytes.littleEndian(at: position + 4)
            guard (17...maximumBody).contains(length), position + 8 + length <= bytes.count else { break }
            let body = bytes[(position + 8)..<(position + 8 + length)]
            guard checksum(body) == expected, let kind = EscrowKind(rawValue: body[body.startIndex]) else { break }
            var key = UUID().uuid
            withUnsafeMutableBytes(of: &key) { $0.copyBytes(from: body.dropFirst().prefix(16)) }
            records.append(EscrowRecord(kind: kind, key: UUID(uuid: key), payload: Array(body.dropFirst(17))))
            position += 8 + length
        }
        return records
    }

    /// CRC-32 as in ISO 3309 (polynomial 0xEDB88320, reflected).
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var value: UInt32 = 0xFFFF_FFFF
        for byte in bytes { value = table[Int((value ^ UInt32(byte)) & 0xFF)] ^ (value >> 8) }
        return value ^ 0xFFFF_FFFF
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: UInt32) {
        for shift in stride(from: 0, to: 32, by: 8) { append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
    }

    fileprivate func littleEndian(at position: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(self[position + $1]) << UInt32(8 * $1) }
    }
}
