import Credentials
import Foundation
import Postgres

/// Where an import stands; who moves it on: migration 0014.
package enum ImportState: String, Sendable, Hashable, CaseIterable {
    case receiving, refused, checked, importing, done, abandoned
}

/// One row of `evergrant.imports`.
package struct ImportJob: Sendable, Hashable {
    package let id: Int64
    /// `imp_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    package let state: ImportState
    package let format: String
    package let contentHash: [UInt8]?
    /// JSON object.
    package let options: [UInt8]
    /// Everything before this line has been received.
    package let nextLine: Int64
    package let totalRows: Int64
    package let rejectedRows: Int64
    package let importedRows: Int64
    package let existingRows: Int64
    package let createdAt: Date
    package let startedAt: Date?
    package let finishedAt: Date?
}

/// A good row on its way to becoming a connection.
package struct StagedRow: Sendable {
    package var line: Int64
    package var externalID: String?
    package var uid: UUID
    /// JSON, without secrets.
    package var facts: [UInt8]
    /// Sealed for ``SealContext/connectionTokens(environmentID:uid:generation:)``, generation 1.
    package var sealed: [UInt8]
    package var fingerprint: [UInt8]?
    package var accountKey: String?

    package init(
        line: Int64, externalID: String?, uid: UUID, facts: [UInt8], sealed: [UInt8], fingerprint: [UInt8]?,
        accountKey: String?
    ) {
        self.line = line
        self.externalID = externalID
        self.uid = uid
        self.facts = facts
        self.sealed = sealed
        self.fingerprint = fingerprint
        self.accountKey = accountKey
    }
}

/// What came of a row.
package struct ImportOutcome: Sendable {
    package let line: Int64
    /// `rejected`, `imported` or `existing`; nil while it waits.
    package let outcome: String?
    package let externalID: String?
    /// JSON list of column, problem and repair.
    package let faults: [UInt8]?
    package let connection: UUID?
}

/// How far the first refreshes of an import have come.
package struct ImportProgress: Sendable, Hashable {
    package let waiting: Int64
    package let refreshed: Int64
    package let broken: Int64
}

extension ImportJob {
    static let columns = """
        id, uid, environment_id, state, format, content_hash, options, next_line, total_rows, rejected_rows,
        imported_rows, existing_rows, created_at, started_at, finished_at
        """

    init(_ row: PostgresRow) throws {
        let state: String
        (id, uid, environmentID, state, format, contentHash, options) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, [UInt8]?.self, [UInt8].self)
        (nextLine, totalRows, rejectedRows, importedRows, existingRows, createdAt, startedAt, finishedAt) =
            try row.decode(
                from: 7, Int64.self, Int64.self, Int64.self, Int64.self, Int64.self, Date.self, Date?.self, Date?.self)
        guard let known = ImportState(rawValue: state) else {
            throw InvalidValue(
                item: "stored import", problem: "is in an unknown state",
                repair: "run the newest version of evergrant on this database")
        }
        self.state = known
    }
}
