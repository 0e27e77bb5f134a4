import Foundation
import Postgres
import Vault

/// What a check of an environment's audit found.
package struct AuditReport: Sendable {
    package enum FaultKind: String, Sendable, Hashable, Encodable {
        /// A row is not as it was sealed.
        case altered
        /// A sealed row is gone.
        case removed
        /// A row stands where all had been sealed.
        case inserted
        /// A seal, the head or the checkpoint is not as it was made.
        case chain
        /// The head kept elsewhere is not in the chain.
        case unexpectedHead = "unexpected_head"
    }

    /// The first thing that is wrong.
    package struct Fault: Sendable, Hashable, Encodable {
        package let kind: FaultKind
        /// The row's id.
        package let row: Int64?
        /// The seal's number.
        package let seal: Int64?
        package let sentence: String
    }

    package let environmentID: Int64
    /// `<number>:<hash>` of the last seal.
    package let head: String
    /// Until when rows are sealed; nil: nothing is sealed yet.
    package let sealedAt: Date?
    /// The first seal that is kept; those before it were pruned.
    package let firstSeal: Int64
    /// Seals and rows that were checked and are right.
    package fileprivate(set) var seals = 0
    package fileprivate(set) var rows = 0
    /// Of those, rows whose details were erased.
    package fileprivate(set) var erased = 0
    /// Rows that no seal covers yet, counted up to 10,000: the chain says nothing of them.
    package fileprivate(set) var unsealed = 0
    package fileprivate(set) var oldestUnsealed: Date?
    package fileprivate(set) var fault: Fault?
}

/// Checks the audit's chain: every row against its seal, every seal against the one before, and that nothing stands where
/// all was sealed. It computes digests itself and calls no function of the database. One snapshot, no lock.
package struct AuditVerification {
    private let db: any PostgresQuerying
    private let head: AuditHead
    private var report: AuditReport
    /// Where eras end: their last ordinary seal's greatest id, by the floor of the era.
    private var eraBounds: [Int64: Int64] = [:]
    private var isPruningRecorded: Bool

    /// - Parameters:
    ///   - expected: a head that was kept elsewhere: it must be in the chain, or be the checkpoint.
    ///   - page: seals read at a time.
    /// - Returns: nil when there is no such environment.
    package static func run(
        environmentID: Int64, expected: (number: Int64, hash: [UInt8])? = nil, page: Int = 20, pool: PostgresPool
    ) async throws -> AuditReport? {
        try await pool.transaction { db in
            try await db.execute(snapshotStatement)
            guard let head = try await AuditHead.find(environmentID: environmentID, in: db) else { return nil }
            var verification = AuditVerification(head: head, db: db)
            try await verification.check(expected: expected, page: page)
            return verification.report
        }
    }

    private init(head: AuditHead, db: any PostgresQuerying) {
        self.db = db
        self.head = head
        report = AuditReport(
            environmentID: head.environmentID, head: head.text, sealedAt: head.sealedAt,
            firstSeal: head.prunedNumber + 1)
        isPruningRecorded = head.prunedNumber == 0
    }

    private mutating func fail(
        _ kind: AuditReport.FaultKind, row: Int64? = nil, seal: Int64? = nil, _ sentence: String
    ) {
        if report.fault == nil {
            report.fault = AuditReport.Fault(kind: kind, row: row, seal: seal, sentence: sentence)
        }
    }

    private mutating func check(expected: (number: Int64, hash: [UInt8])?, page: Int) async throws {
        let environment = PostgresParameter.int8(head.environmentID)
        for row in try await db.execute(Self.erasStatement, [environment]) {
            let (floor, newest) = try row.decode(Int64.self, Int64.self)
            eraBounds[floor] = newest
        }
        var previous: (number: Int64, hash: [UInt8], end: AuditPlace?) = (head.prunedNumber, head.prunedHash, nil)
        var isExpectedFound = expected == nil
        func note(_ number: Int64, _ hash: [UInt8]) {
            if let expected, expected.number == number, expected.hash == hash { isExpectedFound = true }
        }
        note(head.prunedNumber, head.prunedHash)
        reading: while true {
            let rows = try await db.execute(
                Self.sealsStatement, [environment, .int8(previous.number), .int4(Int32(page))])
            if rows.isEmpty { break }
            for row in rows {
                guard let seal = try Self.seal(row) else {
                    fail(.chain, seal: previous.number + 1, "seal \(previous.number + 1) is not readable")
                    break reading
                }
                checkLink(seal, after: previous)
                if report.fault == nil, previous.end == nil { try await checkBefore(seal) }
                if report.fault == nil { try await checkRows(seal) }
                if report.fault != nil { break reading }
                note(seal.number, seal.hash)
                previous = (seal.number, seal.hash, seal.endsEra ? AuditPlace(xid: 0, id: 0) : seal.to)
                report.seals += 1
            }
        }
        if report.fault == nil { checkHead(previous) }
        try await countUnsealed()
        if report.fault == nil, !isPruningRecorded {
            fail(
                .removed, seal: head.prunedNumber,
                "rows up to seal \(head.prunedNumber) are gone, and no row of the audit says that they were pruned")
        }
        if !isExpectedFound, let expected {
            fail(
                .unexpectedHead, seal: expected.number,
                expected.number < head.prunedNumber
                    ? "seal \(expected.number) has been pruned: keep a head newer than seal \(head.prunedNumber)"
                    : "the chain holds no seal \(expected.number) with that hash: it was made anew or cut off since")
        }
    }

    // MARK: Seals

    private mutating func checkLink(
        _ seal: AuditSeal, after previous: (number: Int64, hash: [UInt8], end: AuditPlace?)
    ) {
        if seal.number != previous.number + 1 {
            fail(.chain, seal: previous.number + 1, "seal \(previous.number + 1) is gone")
        } else if seal.previous != previous.hash {
            fail(.chain, seal: seal.number, "seal \(seal.number) does not follow from the one before it")
        } else if seal.hash != seal.computedHash {
            fail(.chain, seal: seal.number, "seal \(seal.number) is not as it was made")
        } else if let end = previous.end, end != seal.from {
            fail(.chain, seal: seal.number, "seal \(seal.number) does not begin where the one before it ends")
        }
    }

    private mutating func checkHead(_ last: (number: Int64, hash: [UInt8], end: AuditPlace?)) {
        if last.number != head.number || last.hash != head.hash {
            fail(
                .chain, seal: head.number,
                "the head names seal \(head.number), but the chain ends with \(last.number)")
        } else if let end = last.end, end != head.sealed {
            fail(.chain, seal: head.number, "the head's place is not that of its last seal")
        }
    }

    /// Nothing may be left of what the first seal's predecessors covered.
    private mutating func checkBefore(_ seal: AuditSeal) async throws {
        let rows = try await db.execute(
            Self.beforeStatement,
            [
                .int8(seal.environmentID), .int8(seal.floorID), .int8(seal.from.xid), .int8(seal.from.id),
                .int8(eraBounds[seal.floorID] ?? .max),
            ])
        if let id = try rows.first?.decode(Int64.self) {
            fail(.inserted, row: id, "row \(id) stands before seal \(seal.number), where all rows were pruned")
        }
    }

    // MARK: Rows

    private mutating func checkRows(_ seal: AuditSeal) async throws {
        let stored = try await rows(of: seal)
        for (entry, row) in zip(seal.rows, stored) where entry.id == row.id && entry.digest != row.digest {
            return fail(.altered, row: row.id, seal: seal.number, Self.sentence("altered", row, seal))
        }
        if seal.rows.map(\.id) != stored.map(\.id) {
            let sealedIDs = Set(seal.rows.map(\.id)), storedIDs = Set(stored.map(\.id))
            if let missing = seal.rows.first(where: { !storedIDs.contains($0.id) }) {
                let isElsewhere = try await !db.execute(Self.existsStatement, [.int8(missing.id)]).isEmpty
                return fail(
                    isElsewhere ? .altered : .removed, row: missing.id, seal: seal.number,
                    isElsewhere
                        ? "row \(missing.id) of seal \(seal.number) was given another place or environment"
                        : "row \(missing.id) of seal \(seal.number) was removed")
            }
            let added = stored.first { !sealedIDs.contains($0.id) } ?? stored.first
            return fail(
                .inserted, row: added?.id, seal: seal.number,
                "row \(added?.id ?? 0) was inserted among those of seal \(seal.number)")
        }
        report.rows += stored.count
        report.erased += stored.count { $0.erased != nil }
        notePruning(stored)
    }

    private mutating func notePruning(_ rows: [ChainedRow]) {
        guard !isPruningRecorded else { return }
        let words = [#""number": \#(head.prunedNumber),"#, #""hash": "\#(Encoding.hex(head.prunedHash))""#]
        isPruningRecorded = rows.contains { row in
            row.action == AuditSealer.pruneAction
                && words.allSatisfy { row.details?.replacing("}", with: ",").contains($0) == true }
        }
    }

    private static func sentence(_ word: String, _ row: ChainedRow, _ seal: AuditSeal) -> String {
        "row \(row.id) of seal \(seal.number) was \(word): it is not what was sealed"
    }

    private func rows(of seal: AuditSeal) async throws -> [ChainedRow] {
        let parameters: [PostgresParameter] = [
            .int8(seal.environmentID), .int8(seal.floorID), .int8(seal.from.xid), .int8(seal.from.id),
        ]
        if seal.endsEra {
            return try await db.execute(
                Self.leftStatement, parameters + [.int8(seal.newestID), .int8(seal.to.id)]
            ).map(ChainedRow.init)
        }
        return try await db.execute(
            Self.rangeStatement,
            parameters + [.int8(seal.to.xid), .int8(seal.to.id), .int8(eraBounds[seal.floorID] ?? .max)]
        ).map(ChainedRow.init)
    }

    private mutating func countUnsealed() async throws {
        let rows = try await db.execute(
            Self.unsealedStatement,
            [.int8(head.environmentID), .int8(head.floorID), .int8(head.sealed.xid), .int8(head.sealed.id)])
        if let row = rows.first {
            let (count, oldest) = try row.decode(Int.self, Date?.self)
            report.unsealed = count
            report.oldestUnsealed = oldest
        }
        guard !isPruningRecorded else { return }
        notePruning(
            try await db.execute(
                Self.pruningsStatement,
                [.int8(head.environmentID), .int8(head.floorID), .int8(head.sealed.xid), .int8(head.sealed.id)]
            ).map(ChainedRow.init))
    }

    private static func seal(_ row: PostgresRow) throws -> AuditSeal? {
        let (
            environmentID, number, previous, hash, floorID, fromXID, fromID, toXID, toID, newestID, endsEra, bytes,
            sealedAt
        ) = try row.decode(
            Int64.self, Int64.self, [UInt8].self, [UInt8].self, Int64.self, Int64.self, Int64.self, Int64.self,
            Int64.self, Int64.self, Bool.self, [UInt8].self, Int64.self)
        guard let entries = AuditSeal.entries(bytes) else { return nil }
        return AuditSeal(
            environmentID: environmentID, number: number, previous: previous, hash: hash, floorID: floorID,
            from: AuditPlace(xid: fromXID, id: fromID), to: AuditPlace(xid: toXID, id: toID), newestID: newestID,
            endsEra: endsEra, rows: entries, sealedAt: sealedAt)
    }

    // MARK: Statements

    private static let snapshotStatement = PostgresStatement(
        "audit_snapshot", "set transaction isolation level repeatable read, read only")

    private static let erasStatement = PostgresStatement(
        "audit_eras",
        "select floor_id, newest_id from evergrant.audit_seals where environment_id = $1 and ends_era")

    /// Index: primary key.
    private static let sealsStatement = PostgresStatement(
        "audit_seals",
        """
        select environment_id, number, previous, hash, floor_id, from_xid, from_id, to_xid, to_id, newest_id, ends_era,
            rows, extract(epoch from sealed_at)::bigint
        from evergrant.audit_seals where environment_id = $1 and number > $2 order by number limit $3
        """)

    /// Index: audit_in_order.
    private static let rangeStatement = PostgresStatement(
        "audit_of_seal",
        """
        select \(ChainedRow.columns) from evergrant.audit a
        where a.environment_id = $1 and a.id > $2 and (a.xid, a.id) > ($3, $4) and (a.xid, a.id) <= ($5, $6)
            and a.id <= $7
        order by a.xid, a.id
        """)

    private static let leftStatement = PostgresStatement(
        "audit_of_last_seal",
        """
        select \(ChainedRow.columns) from evergrant.audit a
        where a.environment_id = $1 and a.id > $2 and ((a.xid, a.id) > ($3, $4) or a.id > $5) and a.id <= $6
        order by a.id
        """)

    /// Index: audit_in_order.
    private static let beforeStatement = PostgresStatement(
        "audit_before_seal",
        """
        select a.id from evergrant.audit a
        where a.environment_id = $1
            and (a.id <= $2 or ((a.xid, a.id) <= ($3, $4) and a.id > $2 and a.id <= $5))
        order by a.xid, a.id limit 1
        """)

    private static let existsStatement = PostgresStatement(
        "audit_row_exists", "select id from evergrant.audit where id = $1")

    /// Index: audit_in_order.
    private static let unsealedStatement = PostgresStatement(
        "audit_unsealed",
        """
        select count(*), min(at) from (
            select a.at from evergrant.audit a
            where a.environment_id = $1 and a.id > $2 and (a.xid, a.id) > ($3, $4) limit 10000) u
        """)

    /// Index: audit_in_order.
    private static let pruningsStatement = PostgresStatement(
        "audit_unsealed_prunings",
        """
        select \(ChainedRow.columns) from evergrant.audit a
        where a.environment_id = $1 and a.id > $2 and (a.xid, a.id) > ($3, $4) and a.action = 'prune_audit'
        order by a.xid, a.id
        """)
}
