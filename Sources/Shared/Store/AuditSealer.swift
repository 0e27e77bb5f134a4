import Foundation
import Postgres
import Vault

/// Seals rows of the audit into a hash chain for each environment, and prunes what is old.
///
/// Sealing comes after the commit and in batches: one head row updated by every transaction that uses a secret would let
/// them wait for each other. What makes it safe:
///
/// 1. Each row carries the id of the transaction that wrote it, drawn by the column's default. Rows are sealed in the
///    order of `(xid, id)`, and only those below the oldest transaction that runs in the same snapshot: below it
///    everything is decided. So no late commit ever comes in behind a seal, and ids that a rollback left out are nothing.
///    A transaction that runs for an hour delays sealing for an hour; it loses nothing.
/// 2. A seal lists every row with its digest. Verification therefore names the row that was altered, removed or added.
/// 3. Transaction ids mean something on one server only. On another one (a dump that was restored) the sealer ends the
///    *era*: it locks writers out for a moment, seals all that is left, and the next era has the ids above.
///
/// Any number of sealers may run: they take heads with `SKIP LOCKED`.
package struct AuditSealer: Sendable {
    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    /// Seals what can be sealed, up to `limit` rows an environment.
    /// - Returns: how many rows were sealed, and whether there is more at once.
    package func seal(limit: Int = 5000) async throws -> (rows: Int, isMore: Bool) {
        var rows = 0
        var isMore = false
        let waiting = try await pool.execute(Self.waitingStatement).map { try $0.decode(Int64.self) }
        for environmentID in waiting {
            let sealed = try await pool.transaction { try await seal(environmentID, limit: limit, in: $0) }
            rows += sealed
            isMore = isMore || sealed == limit
        }
        return (rows, isMore)
    }

    /// Age in seconds of the oldest row that is not sealed, over all environments; 0 when all are.
    package func lag() async throws -> Double {
        try await pool.execute(Self.lagStatement).first?.decode(Double.self) ?? Double(0)
    }

    /// Removes seals older than `age` with their rows. The last seal stays. The hash of the last one removed becomes the
    /// checkpoint from which verification begins, and a row of the audit says so.
    /// - Returns: how many seals were removed; call again at once when it was `limit`.
    package func prune(olderThan age: Duration, limit: Int = 50) async throws -> Int {
        var pruned = 0
        for environmentID in try await pool.execute(Self.environmentsStatement).map({ try $0.decode(Int64.self) }) {
            pruned += try await pool.transaction { db in
                guard
                    let head = try await db.execute(Self.lockStatement, [.int8(environmentID)]).first
                        .map(AuditHead.init)
                else { return 0 }
                let seals = try await db.execute(
                    Self.oldSealsStatement,
                    [.int8(environmentID), .int8(head.number), .interval(age), .int4(Int32(limit))]
                ).map { try $0.decode(Int64.self, [UInt8].self, [UInt8].self) }
                guard let last = seals.last else { return 0 }
                var rows = 0
                for (_, _, entries) in seals {
                    let ids = (AuditSeal.entries(entries) ?? []).map(\.id)
                    rows += ids.count
                    try await db.execute(Self.deleteRowsStatement, [.int8(environmentID), .int8Array(ids)])
                }
                try await db.execute(Self.deleteSealsStatement, [.int8(environmentID), .int8(last.0)])
                try await db.execute(Self.checkpointStatement, [.int8(environmentID), .int8(last.0), .bytea(last.1)])
                let details = #"{"number":\#(last.0),"hash":"\#(Encoding.hex(last.1))","rows":\#(rows)}"#
                try await Audit.record(
                    environmentID: environmentID, actor: "scheduler", action: Self.pruneAction, connectionID: nil,
                    details: Array(details.utf8), in: db)
                return seals.count
            }
        }
        return pruned
    }

    /// The action of the row that a pruning leaves.
    static let pruneAction = "prune_audit"

    private func seal(_ environmentID: Int64, limit: Int, in db: any PostgresQuerying) async throws -> Int {
        guard let head = try await db.execute(Self.lockStatement, [.int8(environmentID)]).first.map(AuditHead.init)
        else { return 0 }
        let isNewServer = head.server.map { $0 != head.currentServer } ?? false
        let rows: [ChainedRow]
        var floor = head.floorID
        if isNewServer {
            // With it nobody writes, and nobody has drawn an id without having written: all rows are decided.
            try await db.execute(Self.patienceStatement)
            try await db.execute(Self.lockTableStatement)
            rows = try await db.execute(
                Self.leftStatement,
                [
                    .int8(environmentID), .int8(head.floorID), .int8(head.sealed.xid), .int8(head.sealed.id),
                    .int8(head.newestID),
                ]
            ).map(ChainedRow.init)
            let greatest = try await db.execute(Self.greatestStatement).first?.decode(Int64.self)
            floor = max(greatest ?? Int64(0), head.newestID)
        } else {
            rows = try await db.execute(
                Self.nextStatement,
                [
                    .int8(environmentID), .int8(head.floorID), .int8(head.sealed.xid), .int8(head.sealed.id),
                    .int4(Int32(limit)),
                ]
            ).map(ChainedRow.init)
        }
        guard let last = rows.last.map({ AuditPlace(xid: $0.xid, id: $0.id) }) ?? (isNewServer ? head.sealed : nil)
        else { return 0 }
        var seal = AuditSeal(
            environmentID: environmentID, number: head.number + 1, previous: head.hash, floorID: head.floorID,
            from: head.sealed, to: isNewServer ? AuditPlace(xid: 0, id: floor) : last, newestID: head.newestID,
            endsEra: isNewServer, rows: rows.map { AuditSeal.Entry(id: $0.id, digest: $0.digest) },
            sealedAt: Int64(Date().timeIntervalSince1970))
        seal.hash = seal.computedHash
        let newest = isNewServer ? floor : max(head.newestID, rows.map(\.id).max() ?? 0)
        try await db.execute(
            Self.insertStatement,
            [
                .int8(environmentID), .int8(seal.number), .bytea(seal.previous), .bytea(seal.hash), .int8(seal.floorID),
                .int8(seal.from.xid), .int8(seal.from.id), .int8(seal.to.xid), .int8(seal.to.id), .int8(seal.newestID),
                .bool(seal.endsEra), .int4(Int32(rows.count)), .bytea(seal.encodedRows), .int8(seal.sealedAt),
            ])
        let reached = isNewServer ? AuditPlace(xid: 0, id: 0) : last
        try await db.execute(
            Self.advanceStatement,
            [
                .int8(environmentID), .int8(seal.number), .bytea(seal.hash), .int8(reached.xid), .int8(reached.id),
                .int8(newest), .int8(floor), .int8(head.currentServer), .int8(seal.sealedAt),
            ])
        return rows.count
    }

    // MARK: Statements

    private static let horizon = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

    private static let environmentsStatement = PostgresStatement(
        "list_audit_heads", "select environment_id from evergrant.audit_heads order by environment_id")

    /// Index: audit_in_order, a probe for each environment.
    private static let waitingStatement = PostgresStatement(
        "audit_waiting",
        """
        select h.environment_id from evergrant.audit_heads h
        where h.server <> (select system_identifier from pg_control_system()) or exists (
            select from evergrant.audit a
            where a.environment_id = h.environment_id and (a.xid, a.id) > (h.sealed_xid, h.sealed_id)
                and a.xid < \(horizon) and a.id > h.floor_id)
        """)

    /// Index: audit_in_order, a probe for each environment.
    private static let lagStatement = PostgresStatement(
        "audit_lag",
        """
        select coalesce(extract(epoch from now() - min(oldest.at)), 0)::float8 from evergrant.audit_heads h
        cross join lateral (
            select a.at from evergrant.audit a
            where a.environment_id = h.environment_id and (a.xid, a.id) > (h.sealed_xid, h.sealed_id)
                and a.id > h.floor_id
            order by a.xid, a.id limit 1) oldest
        """)

    private static let lockStatement = PostgresStatement(
        "lock_audit_head",
        """
        select \(AuditHead.columns) from evergrant.audit_heads h where h.environment_id = $1 for update skip locked
        """)

    /// Index: audit_in_order. Horizon and rows are of one snapshot.
    private static let nextStatement = PostgresStatement(
        "audit_to_seal",
        """
        select \(ChainedRow.columns) from evergrant.audit a
        where a.environment_id = $1 and a.id > $2 and (a.xid, a.id) > ($3, $4) and a.xid < \(horizon)
        order by a.xid, a.id limit $5
        """)

    private static let patienceStatement = PostgresStatement("audit_patience", "set local lock_timeout = '2s'")
    private static let lockTableStatement = PostgresStatement(
        "lock_audit", "lock table evergrant.audit in share mode")
    private static let greatestStatement = PostgresStatement(
        "audit_greatest", "select coalesce(max(id), 0) from evergrant.audit")

    /// Once a server; reads what the environment has.
    private static let leftStatement = PostgresStatement(
        "audit_left",
        """
        select \(ChainedRow.columns) from evergrant.audit a
        where a.environment_id = $1 and a.id > $2 and ((a.xid, a.id) > ($3, $4) or a.id > $5) order by a.id
        """)

    private static let insertStatement = PostgresStatement(
        "insert_audit_seal",
        """
        insert into evergrant.audit_seals (environment_id, number, previous, hash, floor_id, from_xid, from_id, to_xid,
            to_id, newest_id, ends_era, count, rows, sealed_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, to_timestamp($14::bigint))
        """)

    private static let advanceStatement = PostgresStatement(
        "advance_audit_head",
        """
        update evergrant.audit_heads set number = $2, hash = $3, sealed_xid = $4, sealed_id = $5, newest_id = $6,
            floor_id = $7, server = $8, sealed_at = to_timestamp($9::bigint)
        where environment_id = $1
        """)

    /// Index: primary key.
    private static let oldSealsStatement = PostgresStatement(
        "old_audit_seals",
        """
        select number, hash, rows from (
            select number, hash, rows, sealed_at from evergrant.audit_seals
            where environment_id = $1 and number < $2 order by number limit $4) oldest
        where sealed_at < now() - $3::interval order by number
        """)

    private static let deleteRowsStatement = PostgresStatement(
        "prune_audit", "delete from evergrant.audit where environment_id = $1 and id = any($2)")
    private static let deleteSealsStatement = PostgresStatement(
        "prune_audit_seals", "delete from evergrant.audit_seals where environment_id = $1 and number <= $2")
    private static let checkpointStatement = PostgresStatement(
        "checkpoint_audit",
        """
        update evergrant.audit_heads set pruned_number = $2, pruned_hash = $3, pruned_at = now()
        where environment_id = $1
        """)
}
