import Postgres

extension Erasures {
    /// Index: connections_of_identity. Lock: the rows, in order of id.
    static let livingStatement = PostgresStatement(
        "list_connections_to_erase",
        """
        select id from evergrant.connections
        where environment_id = $1 and identity_type = $2 and identity = $3 and state not in ('revoking', 'revoked')
        order by id for update
        """)

    /// Sessions that hold a grant stay until it is given back: the sweep takes those whose finish is long over.
    static let forgetAtOnce = [
        PostgresStatement(
            "end_sessions_to_erase",
            """
            update evergrant.connect_sessions set finish_expires_at = now() - interval '1 hour',
                expires_at = least(expires_at, now()), finish_hash = null
            where environment_id = $1 and identity_type = $2 and identity = $3 and held_grant is not null
            """),
        PostgresStatement(
            "delete_sessions_to_erase",
            """
            delete from evergrant.connect_sessions
            where environment_id = $1 and identity_type = $2 and identity = $3 and held_grant is null
            """),
        PostgresStatement(
            "delete_import_rows_to_erase",
            """
            delete from evergrant.import_rows r using evergrant.imports i
            where i.environment_id = $1 and r.import_id = i.id
                and (r.facts ->> 'identityType' = $2 and r.facts ->> 'identity' = $3
                    or r.connection_id in (select id from evergrant.connections
                        where environment_id = $1 and identity_type = $2 and identity = $3))
            """),
        PostgresStatement(
            "delete_external_ids_to_erase",
            """
            delete from evergrant.external_ids x using evergrant.connections c
            where c.id = x.connection_id and c.environment_id = $1 and c.identity_type = $2 and c.identity = $3
            """),
        // Answers are sealed, so that nobody can tell whose they are: all of this environment go. Their keys stay, and
        // with them the promise that a repeated call has no second effect; but not keys that name the identity.
        PostgresStatement(
            "forget_answers_to_erase",
            """
            update evergrant.idempotency_keys set answer = null
            where environment_id = $1 and answer is not null and $2::text is not null and $3::text is not null
            """),
        PostgresStatement(
            "delete_idempotency_keys_to_erase",
            """
            delete from evergrant.idempotency_keys
            where environment_id = $1 and $2::text is not null and position($3 in key) > 0
            """),
    ]

    static let requestStatement = PostgresStatement(
        "request_erasure",
        """
        insert into evergrant.erasures (environment_id, identity_type, identity, connections, requested_by)
        select $1, $2, $3, coalesce((select array_agg(id order by id) from evergrant.connections
            where environment_id = $1 and identity_type = $2 and identity = $3), '{}'), $4
        returning \(Erasure.columns)
        """)

    static let findStatement = PostgresStatement(
        "find_erasure",
        "select \(Erasure.columns) from evergrant.erasures where uid = $1 and environment_id = $2")

    /// Index: erasures_waiting. A deletion under way anywhere, or a grant of the identity that waits to be given back,
    /// keeps it waiting.
    static let claimStatement = PostgresStatement(
        "claim_erasure",
        """
        select e.id from evergrant.erasures e
        where e.erased_at is null
            and not exists (select from evergrant.connections c
                where c.id = any(e.connections) and c.state <> 'revoked')
            and not exists (select from evergrant.connect_sessions s
                where s.environment_id = e.environment_id and s.identity_type = e.identity_type
                    and s.identity = e.identity)
        order by e.id limit 1 for update skip locked
        """)

    /// In this order: the events are found by the connections, and at last the request forgets whom it was about.
    static let eraseStatements = [
        PostgresStatement(
            "erase_events",
            """
            update evergrant.events v set payload = jsonb_build_object('erased', true, 'connection',
                jsonb_build_object('id', v.payload #> '{connection,id}', 'state', v.payload #> '{connection,state}',
                    'version', v.payload #> '{connection,version}'))
            from evergrant.erasures e where e.id = $1 and v.connection_id = any(e.connections)
            """),
        // Events about an identity rather than a connection.
        PostgresStatement(
            "erase_events_of_identity",
            """
            update evergrant.events v set payload = '{"erased": true}'
            from evergrant.erasures e
            where e.id = $1 and v.environment_id = e.environment_id and v.connection_id is null
                and (v.payload @> jsonb_build_object('identity', e.identity)
                    or v.payload::text like '%' || replace(replace(replace(
                        to_jsonb(e.identity)::text, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '%')
            """),
        PostgresStatement(
            "erase_deliveries",
            """
            update evergrant.deliveries d set log = '[]', last_error = null
            from evergrant.erasures e, evergrant.events v
            where e.id = $1 and v.connection_id = any(e.connections) and d.event_id = v.id
            """),
        PostgresStatement(
            "erase_finished_jobs",
            """
            update evergrant.jobs_finished j set args = jsonb_build_object('connection', j.args -> 'connection'),
                errors = null
            from evergrant.erasures e
            where e.id = $1 and j.args is not null and jsonb_typeof(j.args -> 'connection') = 'number'
                and (j.args ->> 'connection')::bigint = any(e.connections)
            """),
        PostgresStatement(
            "erase_discarded_jobs",
            """
            update evergrant.jobs_discarded d set
                job.args = jsonb_build_object('connection', (d.job).args -> 'connection'), job.errors = null
            from evergrant.erasures e
            where e.id = $1 and jsonb_typeof((d.job).args -> 'connection') = 'number'
                and ((d.job).args ->> 'connection')::bigint = any(e.connections)
            """),
        PostgresStatement(
            "erase_connections",
            """
            update evergrant.connections c set identity = 'erased', name = '', tags = '{}', metadata = '{}',
                parameters = '{}', account_id = null, account_label = null, granted_scopes = null,
                missing_scopes = '{}', last_used_at = null, updated_at = now()
            from evergrant.erasures e where e.id = $1 and c.id = any(e.connections)
            """),
        PostgresStatement(
            "finish_erasure",
            """
            update evergrant.erasures set erased_at = now(), identity = null, identity_type = null where id = $1
            """),
    ]
}
