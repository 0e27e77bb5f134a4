import Postgres

extension Statements {
    // MARK: Rights of apps: a few rows, read whole

    /// $1 environment or null.
    static let listAppGrants = PostgresStatement(
        "list app grants",
        """
        select g.role::text, g.environment_id,
            array(select k.name from evergrant.job_kinds k where k.id = any(g.kinds) order by k.name),
            g.best_priority, g.largest_batch, g.most_queues, g.created_at, g.changed_at,
            case when r is null then 'missing'
                when not has_schema_privilege(r, 'evergrant', 'usage') or not has_function_privilege(r, p.oid, 'execute')
                    then 'closed'
                when not (select rolcanlogin from pg_roles where oid = r) then 'group'
                else 'open' end
        from evergrant.app_grants g
            cross join lateral (select to_regrole(quote_ident(g.role))::oid r) x
            cross join (select oid from pg_proc
                where pronamespace = 'evergrant'::regnamespace and proname = 'enqueue') p
        where $1::bigint is null or g.environment_id = $1
        order by g.environment_id, g.role
        """)

    /// $1 role, $2 environment, $3 kinds, $4 priority, $5 batch, $6 queues, null for what is to stay.
    static let allowApp = PostgresStatement(
        "allow app",
        """
        insert into evergrant.app_grants as g (role, environment_id, kinds, best_priority, largest_batch, most_queues)
        values ($1::text::name, $2, $3::int[], coalesce($4::smallint, 2), coalesce($5::int, 1000), coalesce($6::int, 10))
        on conflict (role, environment_id) do update set
            kinds = array(select distinct k from unnest(g.kinds || excluded.kinds) k order by k),
            best_priority = coalesce($4::smallint, g.best_priority), largest_batch = coalesce($5::int, g.largest_batch),
            most_queues = coalesce($6::int, g.most_queues), changed_at = now()
        """)

    /// $1 role, $2 environment, $3 names of kinds, $4 whether all of it goes. A grant that is left without kinds goes too.
    /// A row when something was taken.
    static let denyApp = PostgresStatement(
        "deny app",
        """
        with there as materialized (
            select g.kinds, array(
                select k from unnest(g.kinds) k
                where not $4 and k not in (select j.id from evergrant.job_kinds j where j.name = any($3::text[]))
                order by k) kept
            from evergrant.app_grants g where g.role = $1::text::name and g.environment_id = $2 for update),
        gone as (
            delete from evergrant.app_grants g using there
            where g.role = $1::text::name and g.environment_id = $2 and kept = '{}' returning 1),
        less as (
            update evergrant.app_grants g set kinds = kept, changed_at = now() from there
            where g.role = $1::text::name and g.environment_id = $2 and kept <> '{}'
                and cardinality(kept) < cardinality(there.kinds) returning 1)
        select * from gone union all select * from less
        """)
}
