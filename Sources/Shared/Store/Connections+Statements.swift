import Postgres

extension Connections {
    /// Index: primary key.
    static let findByID = PostgresStatement(
        "find_connection", "select \(ConnectionRecord.columns) from evergrant.connections c where c.id = $1")

    /// Index: connections_uid_key. The environment is compared as well: nothing crosses it.
    static let findByUID = PostgresStatement(
        "find_connection_by_uid",
        "select \(ConnectionRecord.columns) from evergrant.connections c where c.uid = $1 and c.environment_id = $2")

    /// Indexes: connections_uid_key, credentials_pkey.
    static let findWithCredentialStatement = PostgresStatement(
        "find_connection_with_credential",
        """
        select \(ConnectionRecord.leanColumns), k.sealed as sealed
        from evergrant.connections c left join evergrant.credentials k
            on k.connection_id = c.id and k.generation = c.generation and k.grant_id = c.grant_id
        where c.uid = $1 and c.environment_id = $2
        """)

    /// Lock: the row, for update.
    static let lockByID = PostgresStatement(
        "lock_connection", "select \(ConnectionRecord.columns) from evergrant.connections c where c.id = $1 for update")

    /// Index: primary key.
    static let behindStatement = PostgresStatement(
        "find_behind",
        """
        select distinct c.id from unnest($1::bigint[], $2::uuid[], $3::bigint[]) a(id, grant_id, generation)
        join evergrant.connections c on c.id = a.id and c.grant_id = a.grant_id and c.generation <= a.generation
        """)

    private static let narrowing = """
        c.environment_id = $1
            and ($2::text is null or c.identity = $2) and ($3::text is null or c.identity_type = $3)
            and ($4::text is null or c.integration = $4)
            and case when $5::text is null then c.state <> 'revoked' else c.state = $5 end
            and ($6::text is null or c.reason = $6) and ($7::text is null or c.tags @> array[$7])
            and ($8::text is null or c.name = $8) and ($9::uuid is null or c.uid = $9)
        """

    /// Index: connections_of_identity or connections_of_environment.
    static let listPage = PostgresStatement(
        "list_connections",
        """
        select \(ConnectionRecord.columns) from evergrant.connections c
        where \(narrowing) and c.id > $10 order by c.id limit $11
        """)

    static let countUpTo = PostgresStatement(
        "count_connections",
        """
        select count(*) from (select from evergrant.connections c where \(narrowing) limit $10) counted
        """)

    static let insertConnection = PostgresStatement(
        "insert_connection",
        """
        with made as (
            insert into evergrant.connections (uid, environment_id, mode, integration, provider, oauth_app_id,
                identity_type, identity, name, tags, metadata, parameters, state, grant_id, generation, account_id,
                account_label, access_issued_at, access_expires_at, refresh_due_at, validate_due_at, ends_at,
                granted_scopes, missing_scopes, lost_at, warn_due_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23, $24, $26, $27)
            returning id)
        insert into evergrant.credentials (connection_id, grant_id, generation, sealed, issued_at)
        select id, $14, $15, $25, $18 from made returning connection_id
        """)

    /// Ambiguity, failures, alternates and an open mark belong to the grant that went: the mark's owner finds another
    /// grant id and keeps its hands off.
    static let installGrantStatement = PostgresStatement(
        "install_grant",
        """
        with changed as (
            update evergrant.connections set grant_id = $2, generation = $3, account_id = coalesce($4, account_id),
                account_label = coalesce($5, account_label), parameters = $6, access_issued_at = $7,
                access_expires_at = $8, refresh_due_at = $9, validate_due_at = $10, ends_at = $11, granted_scopes = $12,
                missing_scopes = $13, lost_at = $15, warn_due_at = $16, warned_end = null, ahead_at = null,
                state = case when state = 'pending' then 'pending' else 'active' end,
                reason = null, failures = 0, next_attempt_at = null, retest_at = null, ambiguous_generation = null,
                ambiguous_since = null, attempt_nonce = null, attempt_kind = null, attempt_owner = null,
                attempt_started_at = null, attempt_deadline = null, attempt_tries = 0, last_refreshed_at = now(),
                updated_at = now()
            where id = $1 and generation < $3 and state not in ('revoking', 'revoked') returning id),
        forgotten as (delete from evergrant.alternates a using changed where a.connection_id = changed.id)
        insert into evergrant.credentials as k (connection_id, grant_id, generation, sealed, issued_at)
        select id, $2, $3, $14, $7 from changed
        on conflict (connection_id) do update set grant_id = excluded.grant_id, generation = excluded.generation,
            sealed = excluded.sealed, issued_at = excluded.issued_at, previous_sealed = null,
            previous_generation = null, previous_issued_at = null, proven = false
        returning connection_id
        """)

    static let confirmStatement = PostgresStatement(
        "confirm_connection",
        "update evergrant.connections set state = 'active' where id = $1 and state = 'pending' returning id")

    static let patchStatement = PostgresStatement(
        "patch_connection",
        """
        update evergrant.connections set name = coalesce($2, name), tags = coalesce($3, tags),
            metadata = coalesce($4, metadata), updated_at = now()
        where id = $1 returning id
        """)

    static let requestDeletionStatement = PostgresStatement(
        "request_deletion",
        """
        update evergrant.connections set state = 'revoking', reason = 'deleted', refresh_due_at = null,
            validate_due_at = null, retest_at = null, failures = 0, next_attempt_at = now()
        where id = $1 and state not in ('revoking', 'revoked') returning id
        """)

    /// What was left until it is used is due as a used connection is, from now on.
    static let touchUsedStatement = PostgresStatement(
        "touch_used_connections",
        """
        update evergrant.connections c set last_used_at = u.at, ahead_at = null,
            refresh_due_at = case when c.refresh_due_at is not null and c.attempt_nonce is null
                    and (c.next_attempt_at is null or c.next_attempt_at <= now())
                then least(c.refresh_due_at, c.ahead_at) else c.refresh_due_at end
        from unnest($1::bigint[], $2::timestamptz[]) u(id, at)
        where c.id = u.id and (c.last_used_at is null or c.last_used_at < u.at)
        """)
}
