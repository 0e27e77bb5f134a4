import Foundation
import Postgres

/// One use of a secret, or a change of who may use one, as stored.
package struct AuditRecord: Sendable, Hashable {
    package let id: Int64
    /// The transaction that wrote it; rows are listed and sealed in the order of `(xid, id)`.
    package let xid: Int64
    package let at: Date
    /// `worker:<id>`, `key:<uid>`, `session:<uid>`, `scheduler` or `cli`.
    package let actor: String
    package let action: String
    /// Public id; nil when it concerns no connection, or one that is gone.
    package let connection: String?
    /// Uses that this row stands for.
    package let count: Int64
    /// JSON object without secrets.
    package let details: [UInt8]?
    /// Whether the chain covers it; see ``AuditSealer``.
    package let isSealed: Bool
}

/// Rows of `evergrant.audit`: every use of a secret, who and why. Rows are added and, after their time, pruned with their
/// seals; nothing changes one but ``eraseDetails(connectionIDs:in:)``.
package enum Audit {
    /// - Parameters:
    ///   - actor: `worker:<id>`, `key:<uid>`, `session:<uid>`, `scheduler` or `cli`.
    ///   - action: the use, for example `refresh`, `revoke`, `passthrough`.
    ///   - details: a JSON object without secrets.
    package static func record(
        environmentID: Int64, actor: String, action: String, connectionID: Int64?, count: Int64 = 1,
        details: [UInt8]? = nil, in db: any PostgresQuerying
    ) async throws {
        let (statement, parameters) = entry(
            environmentID: environmentID, actor: actor, action: action, connectionID: connectionID, count: count,
            details: details)
        try await db.execute(statement, parameters)
    }

    /// The same, for a pipeline.
    package static func entry(
        environmentID: Int64, actor: String, action: String, connectionID: Int64?, count: Int64 = 1,
        details: [UInt8]? = nil
    ) -> (PostgresStatement, [PostgresParameter]) {
        (
            insertStatement,
            [
                .int8(environmentID), .text(actor), .text(action), .optional(connectionID) { .int8($0) }, .int8(count),
                .optional(details) { .jsonb($0) },
            ]
        )
    }

    /// Rows of an environment, newest first.
    /// - Parameters:
    ///   - connectionID: only those of one connection.
    ///   - action: only those of one action.
    ///   - before: the row to go on after, as `(xid, id)`.
    package static func list(
        environmentID: Int64, connectionID: Int64? = nil, action: String? = nil, actor: String? = nil,
        since: Date? = nil, until: Date? = nil, before: (xid: Int64, id: Int64)? = nil, limit: Int = 100,
        in db: any PostgresQuerying
    ) async throws -> [AuditRecord] {
        try await db.execute(
            connectionID == nil ? listStatement : listOfConnectionStatement,
            [
                .int8(environmentID), .optional(connectionID) { .int8($0) }, .optional(action) { .text($0) },
                .optional(actor) { .text($0) }, .optional(since) { .timestamptz($0) },
                .optional(until) { .timestamptz($0) }, .int8(before?.xid ?? .max), .int8(before?.id ?? .max),
                .int4(Int32(min(max(limit, 1), 1000))),
            ]
        ).map(AuditRecord.init)
    }

    /// Takes the details of these connections' rows away, for an erasure. Each leaves its SHA-256, so that the chain still
    /// proves the row: `{"erased": "<hex>"}`.
    /// - Returns: how many rows had details.
    @discardableResult
    package static func eraseDetails(connectionIDs: [Int64], in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(eraseStatement, [.int8Array(connectionIDs)]).map { try $0.decode(Int64.self) }.count
    }

    private static let insertStatement = PostgresStatement(
        "insert_audit",
        """
        insert into evergrant.audit (environment_id, actor, action, connection_id, count, details)
        values ($1, $2, $3, $4, $5, $6)
        """)

    private static func list(_ name: String, _ condition: String, _ order: String) -> PostgresStatement {
        PostgresStatement(
            name,
            """
            select a.id, a.xid, a.at, a.actor, a.action, 'conn_' || replace(c.uid::text, '-', ''), a.count, a.details,
                a.id <= h.floor_id or (a.xid, a.id) <= (h.sealed_xid, h.sealed_id)
            from evergrant.audit a
            left join evergrant.connections c on c.id = a.connection_id and c.environment_id = a.environment_id
            left join evergrant.audit_heads h on h.environment_id = a.environment_id
            where a.environment_id = $1 and \(condition)
                and ($3::text is null or a.action = $3) and ($4::text is null or a.actor = $4)
                and ($5::timestamptz is null or a.at >= $5) and ($6::timestamptz is null or a.at < $6)
                and (a.xid, a.id) < ($7, $8)
            order by \(order) limit $9
            """)
    }

    /// Index: audit_in_order.
    private static let listStatement = list("list_audit", "$2::bigint is null", "a.xid desc, a.id desc")

    /// Index: audit_of_connection. The few rows of one connection are sorted.
    private static let listOfConnectionStatement = list(
        "list_audit_of_connection", "a.connection_id = $2", "a.xid desc, a.id desc")

    /// Index: audit_of_connection.
    private static let eraseStatement = PostgresStatement(
        "erase_audit_details",
        """
        update evergrant.audit
        set details = jsonb_build_object('erased', encode(sha256(convert_to(details::text, 'UTF8')), 'hex'))
        where connection_id = any($1) and details is not null and not details ? 'erased' returning id
        """)
}

extension AuditRecord {
    init(_ row: PostgresRow) throws {
        let sealed: Bool?
        (id, xid, at, actor, action, connection, count, details, sealed) = try row.decode(
            Int64.self, Int64.self, Date.self, String.self, String.self, String?.self, Int64.self, [UInt8]?.self,
            Bool?.self)
        isSealed = sealed ?? false
    }
}
