import Postgres

/// Two secrets side by side: the next one is tried beside the current from the moment it is stored, becomes the current
/// by promotion, and the one before stays until it is retired. Each change is told by its version in the audit.
extension OAuthApps {
    /// Stores the next secret; one that waited already is replaced. A suspended app is probed at once.
    /// - Parameter version: the one after ``OAuthAppRecord/newestVersion``, for which it was sealed.
    /// - Returns: nil when another change came first, or the app has no secret yet: put that one instead.
    package static func setNext(
        id: Int64, sealedSecret: [UInt8], version: Int64, in db: any PostgresQuerying
    ) async throws -> OAuthAppRecord? {
        try await db.execute(setNextStatement, [.int8(id), .bytea(sealedSecret), .int8(version)])
            .first.map(OAuthAppRecord.init)
    }

    /// The next secret becomes the current one, and the current one the previous.
    /// - Returns: nil when no next secret waits.
    package static func promote(id: Int64, in db: any PostgresQuerying) async throws -> OAuthAppRecord? {
        try await db.execute(promoteStatement, [.int8(id)]).first.map(OAuthAppRecord.init)
    }

    /// Destroys the secret beside the current one: a previous one that is done, or a next one that is not wanted.
    /// - Returns: nil when there is none, or when it is the one that the provider took last.
    package static func retire(id: Int64, in db: any PostgresQuerying) async throws -> OAuthAppRecord? {
        try await db.execute(retireStatement, [.int8(id)]).first.map(OAuthAppRecord.init)
    }

    /// The provider took this version when it refused the other.
    static func setWorking(id: Int64, version: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(setWorkingStatement, [.int8(id), .int8(version)])
    }

    private static let setNextStatement = PostgresStatement(
        "set_next_client_secret",
        """
        update evergrant.oauth_apps set other_secret = $2, other_version = $3, other_role = 'next',
            newest_version = $3, working_version = null,
            probe_due_at = case when suspended_at is not null then clock_timestamp() end, updated_at = now()
        where id = $1 and newest_version = $3 - 1 and client_secret is not null returning \(Statements.columns)
        """)

    private static let promoteStatement = PostgresStatement(
        "promote_client_secret",
        """
        update evergrant.oauth_apps set client_secret = other_secret, secret_version = other_version,
            other_secret = client_secret, other_version = secret_version, other_role = 'previous',
            working_version = null, updated_at = now()
        where id = $1 and other_role = 'next' returning \(Statements.columns)
        """)

    private static let retireStatement = PostgresStatement(
        "retire_client_secret",
        """
        update evergrant.oauth_apps set other_secret = null, other_version = null, other_role = null,
            working_version = null, updated_at = now()
        where id = $1 and other_role is not null and working_version is distinct from other_version
        returning \(Statements.columns)
        """)

    private static let setWorkingStatement = PostgresStatement(
        "set_working_client_secret",
        """
        update evergrant.oauth_apps set working_version = $2
        where id = $1 and working_version is distinct from $2 and $2 in (secret_version, other_version)
        """)
}
