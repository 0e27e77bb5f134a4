import Postgres

/// Rows of `evergrant.credentials`.
package enum SealedCredentials {
    /// Whether the connection's present or previous token set is exactly this sealed value: every seal has a nonce of
    /// its own, so equal bytes are the same answer.
    package static func holds(_ sealed: [UInt8], connectionID: Int64, in db: any PostgresQuerying) async throws
        -> Bool
    {
        try await db.execute(holdsStatement, [.int8(connectionID), .bytea(sealed)]).first != nil
    }

    private static let holdsStatement = PostgresStatement(
        "find_same_credential",
        """
        select 1 from evergrant.credentials where connection_id = $1 and (sealed = $2 or previous_sealed = $2)
        """)
}
