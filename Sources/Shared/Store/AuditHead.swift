import Foundation
import Postgres
import Vault

/// How far an environment's chain has come.
package struct AuditHead: Sendable, Hashable {
    package let environmentID: Int64
    /// Of the last seal; 0: nothing is sealed yet.
    package let number: Int64
    package let hash: [UInt8]
    let sealed: AuditPlace
    let newestID: Int64
    let floorID: Int64
    /// System identifier of the server whose transaction ids count; nil before the first seal.
    let server: Int64?
    /// That of the server asked.
    let currentServer: Int64
    package let sealedAt: Date?
    /// Seals up to here were pruned with their rows.
    package let prunedNumber: Int64
    package let prunedHash: [UInt8]

    /// `<number>:<hash in hex>`: to be kept elsewhere, and given to `evergrant audit verify --expect`.
    package var text: String { "\(number):\(Encoding.hex(hash))" }

    /// Reads ``text``; nil when it is not of that form.
    package static func parse(_ text: String) -> (number: Int64, hash: [UInt8])? {
        let halves = text.split(separator: ":", omittingEmptySubsequences: false)
        guard halves.count == 2, let number = Int64(halves[0]), number >= 0,
            let hash = Encoding.bytes(hex: halves[1]), hash.count == Digest.length
        else { return nil }
        return (number, hash)
    }

    static let columns = """
        h.environment_id, h.number, h.hash, h.sealed_xid, h.sealed_id, h.newest_id, h.floor_id, h.server,
        (select system_identifier from pg_control_system()), h.sealed_at, h.pruned_number, h.pruned_hash
        """

    init(_ row: PostgresRow) throws {
        let xid: Int64, id: Int64
        (
            environmentID, number, hash, xid, id, newestID, floorID, server, currentServer, sealedAt, prunedNumber,
            prunedHash
        ) = try row.decode(
            Int64.self, Int64.self, [UInt8].self, Int64.self, Int64.self, Int64.self, Int64.self, Int64?.self,
            Int64.self, Date?.self, Int64.self, [UInt8].self)
        sealed = AuditPlace(xid: xid, id: id)
    }

    /// Nil when there is no such environment.
    package static func find(environmentID: Int64, in db: any PostgresQuerying) async throws -> AuditHead? {
        try await db.execute(findStatement, [.int8(environmentID)]).first.map(AuditHead.init)
    }

    private static let findStatement = PostgresStatement(
        "find_audit_head", "select \(columns) from evergrant.audit_heads h where h.environment_id = $1")
}
