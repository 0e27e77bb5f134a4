import Foundation
import Postgres
import Vault

// The chain of the audit, as pure functions. `docs/audit.md` gives the same in words, for those who check it with a
// program of their own.

/// A row of the audit as the chain sees it.
struct ChainedRow: Sendable {
    let id: Int64
    let environmentID: Int64
    let xid: Int64
    /// Microseconds since 1970.
    let at: Int64
    let actor: String
    let action: String
    let connectionID: Int64?
    let count: Int64
    /// `jsonb` as text, which has one spelling.
    let details: String?
    /// The digest that an erasure left instead of the details.
    let erased: String?

    static let columns = """
        a.id, a.environment_id, a.xid, (extract(epoch from a.at) * 1000000)::bigint, a.actor, a.action, a.connection_id,
        a.count, a.details::text,
        case when a.details ? 'erased' and (a.details - 'erased') = '{}' then a.details ->> 'erased' end
        """

    init(_ row: PostgresRow) throws {
        (id, environmentID, xid, at, actor, action, connectionID, count, details, erased) = try row.decode(
            Int64.self, Int64.self, Int64.self, Int64.self, String.self, String.self, Int64?.self, Int64.self,
            String?.self, String?.self)
    }

    var digest: [UInt8] {
        var text = NetstringHash("evergrant.audit.row.1")
        text.add("\(id)")
        text.add("\(environmentID)")
        text.add("\(xid)")
        text.add("\(at)")
        text.add(actor)
        text.add(action)
        text.add(connectionID.map(String.init))
        text.add("\(count)")
        text.add(erased ?? details.map { Encoding.hex(Digest.sha256($0)) })
        return text.digest
    }
}

/// One seal: which rows, each with its digest, and the hash that covers them and all seals before.
struct AuditSeal: Sendable {
    let environmentID: Int64
    let number: Int64
    let previous: [UInt8]
    /// As stored; ``computedHash`` is what it must be.
    var hash: [UInt8] = []
    let floorID: Int64
    let from: AuditPlace
    let to: AuditPlace
    let newestID: Int64
    let endsEra: Bool
    let rows: [Entry]
    /// To the second, so that its text is the same wherever it is read.
    let sealedAt: Int64

    struct Entry: Sendable, Hashable {
        let id: Int64
        let digest: [UInt8]
    }

    var computedHash: [UInt8] {
        var text = NetstringHash("evergrant.audit.seal.1")
        text.add("\(environmentID)")
        text.add("\(number)")
        text.add(Encoding.hex(previous))
        text.add("\(floorID)")
        text.add("\(from.xid)")
        text.add("\(from.id)")
        text.add("\(to.xid)")
        text.add("\(to.id)")
        text.add("\(newestID)")
        text.add(endsEra ? "1" : "0")
        text.add("\(rows.count)")
        text.add(Encoding.hex(Digest.sha256(encodedRows)))
        text.add("\(sealedAt)")
        return text.digest
    }

    static let entryLength = 8 + Digest.length

    var encodedRows: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.count * Self.entryLength)
        for row in rows {
            withUnsafeBytes(of: row.id.bigEndian) { bytes.append(contentsOf: $0) }
            bytes += row.digest
        }
        return bytes
    }

    /// Nil when the bytes are no list of entries.
    static func entries(_ bytes: [UInt8]) -> [Entry]? {
        guard bytes.count % entryLength == 0 else { return nil }
        return stride(from: 0, to: bytes.count, by: entryLength).map { start in
            let id = bytes[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Entry(id: Int64(bitPattern: id), digest: Array(bytes[start + 8..<start + entryLength]))
        }
    }
}

/// A place in the order in which rows are sealed.
struct AuditPlace: Sendable, Hashable {
    var xid: Int64
    var id: Int64
}

/// SHA-256 over netstrings (`<length>:<bytes>,`; cr.yp.to/proto/netstrings.txt), so that no two lists of fields have the
/// same text; `-` stands for a field that is null.
struct NetstringHash {
    private var bytes: [UInt8] = []

    init(_ domain: String) { add(domain) }

    mutating func add(_ field: String?) {
        guard let field else {
            bytes.append(UInt8(ascii: "-"))
            return
        }
        bytes += Array("\(field.utf8.count):".utf8)
        bytes += Array(field.utf8)
        bytes.append(UInt8(ascii: ","))
    }

    var digest: [UInt8] { Digest.sha256(bytes) }
}
