import Postgres

extension Imports {
    static let beginStatement = PostgresStatement(
        "begin_import",
        """
        insert into evergrant.imports (environment_id, format, options, content_hash, created_by, receiver)
        values ($1, $2, $3, $4, $5, $6) returning \(ImportJob.columns)
        """)

    /// Index: imports_by_hash.
    static let findByHashStatement = PostgresStatement(
        "find_import_by_hash",
        """
        select \(ImportJob.columns) from evergrant.imports
        where environment_id = $1 and content_hash = $2 and state in ('receiving', 'importing', 'done')
            and ($3::bigint is null or id <> $3)
        order by id desc limit 1
        """)

    static let findStatement = PostgresStatement(
        "find_import", "select \(ImportJob.columns) from evergrant.imports where uid = $1 and environment_id = $2")

    /// Index: imports_of_environment.
    static let listStatement = PostgresStatement(
        "list_imports",
        """
        select \(ImportJob.columns) from evergrant.imports
        where environment_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3
        """)

    static let takeOverStatement = PostgresStatement(
        "take_over_import",
        """
        update evergrant.imports set receiver = $2, options = $3, touched_at = now()
        where id = $1 and state = 'receiving' returning \(ImportJob.columns)
        """)

    /// Lock: the import, so that a batch and its take-over follow each other.
    static let moveStatement = PostgresStatement(
        "move_import",
        """
        update evergrant.imports set next_line = $3, total_rows = total_rows + $4, rejected_rows = rejected_rows + $5,
            touched_at = now()
        where id = $1 and receiver = $2 and state = 'receiving' and next_line <= $3 returning \(ImportJob.columns)
        """)

    static let stageStatement = PostgresStatement(
        "stage_import_rows",
        """
        insert into evergrant.import_rows (import_id, line, external_id, uid, facts, sealed, fingerprint, account_key)
        select $1, r.line, r.external_id, r.uid, r.facts, r.sealed, nullif(r.fingerprint, ''), r.account_key
        from unnest($2::bigint[], $3::text[], $4::uuid[], $5::jsonb[], $6::bytea[], $7::bytea[], $8::text[])
            r(line, external_id, uid, facts, sealed, fingerprint, account_key)
        """)

    static let rejectStatement = PostgresStatement(
        "reject_import_rows",
        """
        insert into evergrant.import_rows (import_id, line, outcome, faults)
        select $1, r.line, 'rejected', r.faults from unnest($2::bigint[], $3::jsonb[]) r(line, faults)
        """)

    /// Of rows that share a value the first stays.
    private static func repeats(_ column: String, as shown: String) -> PostgresStatement {
        PostgresStatement(
            "reject_repeated_\(column)",
            """
            with numbered as (
                select line, min(line) over (partition by \(column)) as first from evergrant.import_rows
                where import_id = $1 and \(column) is not null and outcome is null)
            update evergrant.import_rows r set outcome = 'rejected', facts = null, sealed = null,
                faults = jsonb_build_array(jsonb_build_object('column', '\(shown)',
                    'problem', 'stands on line ' || n.first || ' already', 'repair', 'keep one of the two rows'))
            from numbered n where r.import_id = $1 and r.line = n.line and n.line > n.first
            """)
    }

    static let repeatStatements = [
        repeats("external_id", as: "external_id"), repeats("fingerprint", as: "refresh_token"),
        repeats("account_key", as: "account_id"),
    ]

    private static func existing(_ name: String, _ source: String) -> PostgresStatement {
        PostgresStatement(
            name,
            """
            update evergrant.import_rows r set outcome = 'existing', facts = null, sealed = null, connection_id = c.id
            from evergrant.imports i, \(source)
            where i.id = $1 and r.import_id = i.id and r.outcome is null
                and c.environment_id = i.environment_id and c.state not in ('revoking', 'revoked')
            """)
    }

    /// Indexes: external_ids_pkey, connections_of_identity.
    static let existingStatements = [
        PostgresStatement(
            "mark_known_external_ids",
            existing("", "evergrant.external_ids x, evergrant.connections c").sql
                + " and x.environment_id = i.environment_id and x.external_id = r.external_id and c.id = x.connection_id"
        ),
        PostgresStatement(
            "mark_known_accounts",
            existing("", "evergrant.connections c").sql
                + """
                 and r.account_key is not null and c.identity = r.facts ->> 'identity'
                    and c.identity_type = r.facts ->> 'identityType' and c.integration = r.facts ->> 'integration'
                    and c.account_id = r.facts ->> 'accountID'
                """),
    ]

    static let countStatement = PostgresStatement(
        "count_import_rows",
        """
        update evergrant.imports i set rejected_rows = i.rejected_rows + n.repeated, existing_rows = n.existing
        from (select count(*) filter (where outcome = 'rejected' and uid is not null) as repeated,
                count(*) filter (where outcome = 'existing') as existing
            from evergrant.import_rows where import_id = $1) n
        where i.id = $1
        """)

    static let settleStatement = PostgresStatement(
        "settle_import",
        """
        update evergrant.imports set state = $3, content_hash = $4, receiver = null, touched_at = now(),
            started_at = case when $3 = 'importing' then now() end,
            finished_at = case when $3 <> 'importing' then now() end
        where id = $1 and receiver = $2 and state = 'receiving' returning \(ImportJob.columns)
        """)

    static let dropWaitingStatement = PostgresStatement(
        "drop_waiting_import_rows", "delete from evergrant.import_rows where import_id = $1 and outcome is null")

    static let removeStatement = PostgresStatement(
        "remove_import", "delete from evergrant.imports where id = $1 and receiver = $2 and state = 'receiving'")

    static let outcomesStatement = PostgresStatement(
        "list_import_rows",
        """
        select r.line, r.outcome, r.external_id, r.faults, c.uid from evergrant.import_rows r
        left join evergrant.connections c on c.id = r.connection_id
        where r.import_id = $1 and ($2::text is null or r.outcome = $2) and r.line > $3 order by r.line limit $4
        """)

    static let progressStatement = PostgresStatement(
        "measure_import",
        """
        select count(*) filter (where c.last_refreshed_at is null and c.refresh_due_at is not null
                and c.state in ('active', 'degraded', 'suspected')),
            count(*) filter (where c.last_refreshed_at is not null),
            count(*) filter (where c.state = 'broken')
        from evergrant.import_rows r join evergrant.connections c on c.id = r.connection_id
        where r.import_id = $1 and r.outcome = 'imported'
        """)

    /// Index: imports_at_work.
    static let abandonStatement = PostgresStatement(
        "abandon_imports",
        """
        with gone as (
            update evergrant.imports set state = 'abandoned', receiver = null, finished_at = now()
            where state = 'receiving' and touched_at < now()
                - make_interval(secs => case when content_hash is null then $1::float8 else $2::float8 end)
            returning id)
        delete from evergrant.import_rows r using gone where r.import_id = gone.id
        """)

    static let forgetStatement = PostgresStatement(
        "forget_imports",
        """
        delete from evergrant.imports where id in (
            select id from evergrant.imports where finished_at < now() - make_interval(secs => $1)
            order by id limit 10)
        """)
}
