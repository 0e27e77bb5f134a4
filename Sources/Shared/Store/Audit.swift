import Postgres

/// Rows of `evergrant.audit`: every use of a secret, who and why.
package enum Audit {
    /// - Parameters:
    ///   - actor: `worker:<id>`, `key:<uid>`, `session:<uid>` or `cli`.
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

    private static let insertStatement = PostgresStatement(
        "insert_audit",
        """
        insert into evergrant.audit (environment_id, actor, action, connection_id, count, details)
        values ($1, $2, $3, $4, $5, $6)
        """)
}
