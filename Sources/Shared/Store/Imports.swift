import Credentials
import Foundation
import Pacing
import Postgres

/// Rows of `evergrant.imports` and `evergrant.import_rows`: receiving a file.
package enum Imports {
    /// Stored bad rows of one import; further ones are counted only.
    package static let mostStoredRejects: Int64 = 10_000

    package static func begin(
        environmentID: Int64, format: String, options: [UInt8], contentHash: [UInt8]?, actor: String, receiver: UUID,
        in db: any PostgresQuerying
    ) async throws -> ImportJob {
        let rows = try await db.execute(
            beginStatement,
            [
                .int8(environmentID), .text(format), .jsonb(options), .optional(contentHash) { .bytea($0) },
                .text(actor), .uuid(receiver),
            ])
        guard let row = rows.first else { throw MissingRow(statement: beginStatement.name) }
        return try ImportJob(row)
    }

    /// The newest import of this very file that is under way or done: dry runs and refused ones do not count.
    package static func find(
        environmentID: Int64, contentHash: [UInt8], except: Int64? = nil, in db: any PostgresQuerying
    ) async throws -> ImportJob? {
        try await db.execute(
            findByHashStatement, [.int8(environmentID), .bytea(contentHash), .optional(except) { .int8($0) }]
        ).first.map(ImportJob.init)
    }

    package static func find(uid: String, environmentID: Int64, in db: any PostgresQuerying) async throws -> ImportJob?
    {
        try await db.execute(findStatement, [.text(uid), .int8(environmentID)]).first.map(ImportJob.init)
    }

    package static func list(
        environmentID: Int64, before: Int64?, limit: Int, in db: any PostgresQuerying
    ) async throws -> [ImportJob] {
        try await db.execute(
            listStatement, [.int8(environmentID), .optional(before) { .int8($0) }, .int4(Int32(limit))]
        ).map(ImportJob.init)
    }

    /// Takes the reception over: an earlier upload of the same file can write no more.
    package static func takeOver(id: Int64, receiver: UUID, options: [UInt8], in db: any PostgresQuerying) async throws
        -> ImportJob?
    {
        try await db.execute(takeOverStatement, [.int8(id), .uuid(receiver), .jsonb(options)]).first.map(ImportJob.init)
    }

    /// Stores a batch of rows, good and bad, and moves the import on to `nextLine`. Once, whoever repeats it.
    /// - Parameter rejected: line and JSON list of faults.
    /// - Returns: nil when another upload has taken over.
    package static func stage(
        id: Int64, receiver: UUID, rows: [StagedRow], rejected: [(line: Int64, faults: [UInt8])], nextLine: Int64,
        in transaction: any PostgresQuerying
    ) async throws -> ImportJob? {
        let moved = try await transaction.execute(
            moveStatement,
            [
                .int8(id), .uuid(receiver), .int8(nextLine), .int8(Int64(rows.count + rejected.count)),
                .int8(Int64(rejected.count)),
            ])
        guard let job = try moved.first.map(ImportJob.init) else { return nil }
        if !rows.isEmpty {
            try await transaction.execute(
                stageStatement,
                [
                    .int8(id), .int8Array(rows.map(\.line)), .textArray(rows.map(\.externalID)),
                    .uuidArray(rows.map(\.uid)), .jsonbArray(rows.map(\.facts)), .byteaArray(rows.map(\.sealed)),
                    .byteaArray(rows.map { $0.fingerprint ?? [] }), .textArray(rows.map(\.accountKey)),
                ])
        }
        let room = max(0, mostStoredRejects - (job.rejectedRows - Int64(rejected.count)))
        let kept = rejected.prefix(Int(room))
        if !kept.isEmpty {
            try await transaction.execute(
                rejectStatement, [.int8(id), .int8Array(kept.map(\.line)), .jsonbArray(kept.map(\.faults))])
        }
        return job
    }

    /// Looks at the file as a whole: rows that repeat an earlier one are rejected, rows that are connections already
    /// are marked.
    package static func compare(id: Int64, in transaction: any PostgresQuerying) async throws {
        for statement in repeatStatements { try await transaction.execute(statement, [.int8(id)]) }
        for statement in existingStatements { try await transaction.execute(statement, [.int8(id)]) }
        try await transaction.execute(countStatement, [.int8(id)])
    }

    /// Ends the reception. Rows that will not become connections lose what was sealed of them.
    package static func settle(
        id: Int64, receiver: UUID, state: ImportState, contentHash: [UInt8], in transaction: any PostgresQuerying
    ) async throws -> ImportJob? {
        let settled = try await transaction.execute(
            settleStatement, [.int8(id), .uuid(receiver), .text(state.rawValue), .bytea(contentHash)])
        guard let job = try settled.first.map(ImportJob.init) else { return nil }
        if state != .importing { try await transaction.execute(dropWaitingStatement, [.int8(id)]) }
        return job
    }

    /// Forgets an import with all its rows.
    package static func remove(id: Int64, receiver: UUID, in db: any PostgresQuerying) async throws {
        try await db.execute(removeStatement, [.int8(id), .uuid(receiver)])
    }

    /// What came of the rows, in order; with `outcome`, of those only.
    package static func outcomes(
        id: Int64, outcome: String?, after line: Int64, limit: Int, in db: any PostgresQuerying
    ) async throws -> [ImportOutcome] {
        try await db.execute(
            outcomesStatement, [.int8(id), .optional(outcome) { .text($0) }, .int8(line), .int4(Int32(limit))]
        ).map { row in
            let (line, outcome, external, faults, uid) = try row.decode(
                Int64.self, String?.self, String?.self, [UInt8]?.self, UUID?.self)
            return ImportOutcome(
                line: line, outcome: outcome, externalID: external, faults: faults, connection: uid)
        }
    }

    /// How far the first refreshes have come.
    package static func progress(id: Int64, in db: any PostgresQuerying) async throws -> ImportProgress {
        guard let row = try await db.execute(progressStatement, [.int8(id)]).first else {
            return ImportProgress(waiting: 0, refreshed: 0, broken: 0)
        }
        let (waiting, refreshed, broken) = try row.decode(Int64.self, Int64.self, Int64.self)
        return ImportProgress(waiting: waiting, refreshed: refreshed, broken: broken)
    }

    /// Gives up uploads that nobody goes on with, and forgets the rows of imports that ended long ago.
    /// - Parameters:
    ///   - cut: of an upload that cannot be resumed, since nobody named its hash.
    ///   - resumable: of one that can.
    ///   - keep: after the end.
    package static func sweep(
        cut: Duration, resumable: Duration, keep: Duration, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(abandonStatement, [.float8(cut.seconds), .float8(resumable.seconds)])
        try await db.execute(forgetStatement, [.float8(keep.seconds)])
    }
}
