import Postgres

/// The connections that hold grants of one account at one OAuth app.
package enum AccountGrants {
    /// How many of them live; `except` is not counted.
    package static func living(
        appID: Int64, accountID: String, except: Int64? = nil, in db: any PostgresQuerying
    ) async throws -> Int {
        try await db.execute(
            livingStatement, [.int8(appID), .text(accountID), .optional(except) { .int8($0) }]
        ).first?.decode(Int.self) ?? 0
    }

    /// The newest connection of the account that this identity has for this integration, broken ones included: what a
    /// new grant of the account renews where the provider keeps one grant per account.
    package static func owned(
        appID: Int64, accountID: String, integration: String, identityType: String, identity: String,
        in db: any PostgresQuerying
    ) async throws -> Int64? {
        try await db.execute(
            ownedStatement,
            [.int8(appID), .text(accountID), .text(integration), .text(identityType), .text(identity)]
        ).first?.decode(Int64.self)
    }

    /// Tells the other connections of the account at once that a newer grant took theirs: broken, `superseded`. An open
    /// attempt of theirs loses its mark.
    /// - Returns: which.
    @discardableResult
    package static func supersede(
        appID: Int64, accountID: String, by connectionID: Int64, in transaction: any PostgresQuerying
    ) async throws -> [Int64] {
        try await transaction.execute(supersedeStatement, [.int8(appID), .text(accountID), .int8(connectionID)])
            .map { try $0.decode(Int64.self) }
    }

    /// Index: connections_of_account.
    private static let livingStatement = PostgresStatement(
        "count_living_grants",
        """
        select count(*) from evergrant.connections
        where oauth_app_id = $1 and account_id = $2 and state not in ('revoking', 'revoked', 'broken')
            and ($3::bigint is null or id <> $3)
        """)

    /// Index: connections_of_account.
    private static let ownedStatement = PostgresStatement(
        "find_owned_grant",
        """
        select id from evergrant.connections
        where oauth_app_id = $1 and account_id = $2 and integration = $3 and identity_type = $4 and identity = $5
            and state in ('active', 'degraded', 'suspected', 'broken')
        order by id desc limit 1
        """)

    /// Index: connections_of_account. Lock: the rows, in order of id.
    private static let supersedeStatement = PostgresStatement(
        "supersede_grants",
        """
        with older as (
            select id from evergrant.connections
            where oauth_app_id = $1 and account_id = $2 and id <> $3 and state in ('active', 'degraded', 'suspected')
            order by id for update)
        update evergrant.connections c set state = 'broken', reason = 'superseded', refresh_due_at = null,
            validate_due_at = null, retest_at = null, next_attempt_at = null, ambiguous_generation = null,
            ambiguous_since = null, attempt_nonce = null, attempt_kind = null, attempt_owner = null,
            attempt_started_at = null, attempt_deadline = null, attempt_tries = 0
        from older where c.id = older.id returning c.id
        """)
}
