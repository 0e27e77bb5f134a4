import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// What an app's login may not do, and what it is told.
@Suite struct AppRightsTests {
    @Test func `nothing but what was allowed is enqueued`() async throws {
        try await withApp { world async throws in
            let refused = [
                ("'mail.send', environment => 'live'", "EG101"), ("'mail.send', environment => 'nowhere'", "EG101"),
                ("'mail.drop'", "EG103"), ("'mail.none'", "EG103"), ("'MAIL.SEND'", "EG103"),
                ("'mail.send', priority => 1", "EG104"), ("'mail.send', priority => 0", "EG104"),
            ]
            for (arguments, code) in refused {
                let error = try await world.refusal("select evergrant.enqueue(\(arguments))")
                #expect(error?.sqlState == code, "\(arguments)")
                #expect(error?.message.contains(world.login) == true, "\(arguments)")
                #expect(error?.hint?.contains("evergrant apps allow --role \(world.login)") == true, "\(arguments)")
            }
            for priority in 2...3 {
                #expect(try await world.enqueue("'mail.send', priority => \(priority)") != nil)
            }
            let batch = """
                select count(*) from evergrant.enqueue_many(
                    (select jsonb_agg('{"kind": "mail.send"}'::jsonb) from generate_series(1, %)))
                """
            _ = try await world.grants.allow(
                role: world.login, environmentID: world.test, kinds: ["mail.send"], bestPriority: 0, largestBatch: 5)
            #expect(try await world.enqueue("'mail.send', priority => 0") != nil)
            #expect(try await world.ask(batch.replacing("%", with: "5"), as: Int.self) == 5)
            #expect(try await world.refusal(batch.replacing("%", with: "6"))?.sqlState == "EG105")
            #expect(try await world.refusal(batch.replacing("%", with: "10001"))?.sqlState == "EG105")
            #expect(try await world.fixture.count("jobs_ready") == 8)
        }
    }

    @Test func `a login without a grant may nothing, and one with two environments has to name one`() async throws {
        try await withApp { world async throws in
            let (name, pool) = try await world.login(
                "new", "create role {login} login password 'shop'; grant {app} to {login}")
            for sql in [
                "select evergrant.enqueue('mail.send')", "select * from evergrant.job(1)", "select evergrant.cancel(1)",
                "select evergrant.retry(1)", "select * from evergrant.queue_depth()",
                "select * from evergrant.enqueue_many('[{\"kind\": \"mail.send\"}]')",
            ] {
                #expect(try await world.refusal(sql, in: pool)?.sqlState == "EG101", "\(sql)")
            }
            let (_, closed) = try await world.login("closed", "create role {login} login password 'shop'")
            #expect(try await world.refusal("select evergrant.enqueue('mail.send')", in: closed)?.sqlState == "42501")

            for environment in [world.test, world.live] {
                _ = try await world.grants.allow(role: name, environmentID: environment, kinds: ["mail.send"])
            }
            let error = try await world.refusal("select evergrant.enqueue('mail.send')", in: pool)
            #expect(error?.sqlState == "EG102" && error?.hint?.contains("live, test") == true)
            let jobID = try await world.enqueue("'mail.send', environment => 'live'", in: pool)
            #expect(try await world.fixture.record(jobID).environmentID == world.live)
        }
    }

    @Test func `a grant holds for members of its role that inherit, and SET ROLE changes nothing`() async throws {
        try await withApp { world async throws in
            let member = try await world.login(
                "member", "create role {login} login password 'shop' in role \(world.login)")
            #expect(try await world.enqueue("'mail.send'", in: member.pool) != nil)
            let heir = try await world.login(
                "heir",
                "create role {login} login noinherit password 'shop' in role \(world.login); grant {app} to {login};")
            try await world.fixture.run(
                "grant usage on schema evergrant to \(heir.name);"
                    + "grant execute on all functions in schema evergrant to \(heir.name)")
            #expect(
                try await world.refusal("select evergrant.enqueue('mail.send')", in: heir.pool)?.sqlState == "EG101")
            try await heir.pool.withConnection { connection async throws in
                try await connection.execute(PostgresStatement("app", "set role \(world.login)"))
                let answer = try await world.refusal("select evergrant.enqueue('mail.send')", in: connection)
                #expect(answer?.sqlState == "EG101" && answer?.message.contains(heir.name) == true)
            }
            // A role that is gone is nobody's.
            _ = try await world.grants.allow(role: "nobody \"'; x", environmentID: world.test, kinds: ["mail.drop"])
            #expect(try await world.refusal("select evergrant.enqueue('mail.drop')")?.sqlState == "EG103")
        }
    }

    @Test func `the app's login reaches nine functions and nothing else in the schema`() async throws {
        try await withApp { world async throws in
            let open = try await world.ask(
                """
                select string_agg(p.proname, ' ' order by p.proname) from pg_proc p
                where p.pronamespace = 'evergrant'::regnamespace and has_function_privilege(p.oid, 'execute')
                """, as: String.self)
            #expect(
                open == "campaign cancel control_campaign enqueue enqueue_many job queue_depth retry start_campaign")
            let relations = try await world.ask(
                """
                select count(*) from pg_class c where c.relnamespace = 'evergrant'::regnamespace
                and case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'select, usage, update')
                    when c.relkind in ('r', 'p', 'v', 'm') then
                        has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
                        or has_any_column_privilege(c.oid, 'select, insert, update, references') end
                """, as: Int.self)
            #expect(relations == 0)
            // Privileges are one thing, the server's word another.
            let names = try await world.fixture.value(
                """
                select array_agg(format('select * from evergrant.%I', relname) order by relname) from pg_class
                where relnamespace = 'evergrant'::regnamespace and relkind in ('r', 'p', 'v')
                """, as: [String].self)
            let calls = try await world.fixture.value(
                """
                select array_agg(format('select evergrant.%I(%s)', proname, (
                    select string_agg(format('null::%s', format_type(t, null)), ', ') from unnest(proargtypes::oid[]) t)))
                from pg_proc where pronamespace = 'evergrant'::regnamespace and prorettype <> 'trigger'::regtype
                and proname not in ('campaign', 'cancel', 'control_campaign', 'enqueue', 'enqueue_many', 'job',
                    'queue_depth', 'retry', 'start_campaign')
                """, as: [String].self)
            #expect(names.count > 30 && calls.count > 20)
            for sql in names + calls { #expect(try await world.refusal(sql)?.sqlState == "42501", "\(sql)") }
        }
    }

    @Test func `every function with the owner's rights fixes its search path and is closed to the public`() async throws
    {
        try await withApp { world async throws in
            let loose = try await world.fixture.value(
                """
                select coalesce(string_agg(p.proname, ' '), '') from pg_proc p
                where p.pronamespace = 'evergrant'::regnamespace and p.prosecdef and not exists (
                    select from unnest(p.proconfig) c where c = 'search_path=pg_catalog, evergrant, pg_temp')
                """, as: String.self)
            #expect(loose == "")
            let publicly = try await world.fixture.value(
                """
                select coalesce(string_agg(p.proname, ' '), '')
                from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                where p.pronamespace = 'evergrant'::regnamespace and a.grantee = 0
                """, as: String.self)
            #expect(publicly == "")
        }
    }

    @Test func `a migrated database is closed to the public before any role is made`() async throws {
        try await withMigratedDatabase { database in
            let open = try await database.pool().execute(
                PostgresStatement(
                    "public functions",
                    """
                    select coalesce(string_agg(p.proname, ' '), '')
                    from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                    where p.pronamespace = 'evergrant'::regnamespace and a.grantee = 0
                    """))
            #expect(try open[0].decode(String.self) == "")
        }
    }

    @Test func `objects of the app's own with our names are not mistaken for ours`() async throws {
        try await withApp { world async throws in
            try await world.app.withConnection { connection async throws in
                try await connection.executeScript(
                    PostgresStatement(
                        "shadow",
                        """
                        create temp table app_grants (role name, environment_id bigint, kinds int[], best_priority smallint,
                            largest_batch int, most_queues int, created_at timestamptz, changed_at timestamptz);
                        insert into app_grants values (session_user, \(world.live), '{1, 2, 3}', 0, 10000, 1000, now(), now());
                        create temp table environments as select \(world.live)::bigint as id, 'live' as name;
                        create temp table job_kinds as select 1 as id, 'mail.drop' as name;
                        create function pg_temp.app_rights() returns setof app_grants language sql as
                            'select * from app_grants';
                        create function pg_temp.pg_has_role(name, oid, text) returns boolean language sql as 'select true';
                        create function pg_temp.quote_ident(text) returns text language sql as 'select ''postgres''';
                        set search_path = pg_temp, pg_catalog, evergrant;
                        """))
                let forbidden = try await world.refusal(
                    "select evergrant.enqueue('mail.drop', environment => 'live', priority => 0)", in: connection)
                #expect(forbidden?.sqlState == "EG101")
                let jobID = try await world.enqueue("'mail.send'", in: connection)
                #expect(try await world.fixture.record(jobID).environmentID == world.test)
            }
        }
    }

    @Test func `allow adds, deny takes away, and the list says whether the role can call at all`() async throws {
        try await withApp { world async throws in
            let first = try await world.grants.allow(role: "nobody", environmentID: world.live, kinds: ["b", "a"])
            #expect(first.access == .missing && first.kinds == ["a", "b"] && first.bestPriority == 2)
            #expect(first.largestBatch == 1000 && first.mostQueues == 10)
            let more = try await world.grants.allow(
                role: "nobody", environmentID: world.live, kinds: ["c", "a"], bestPriority: 1, largestBatch: 7,
                mostQueues: 0)
            #expect(more.kinds == ["a", "b", "c"] && more.bestPriority == 1)
            #expect(more.largestBatch == 7 && more.mostQueues == 0)
            let same = try await world.grants.allow(role: "nobody", environmentID: world.live, kinds: ["a"])
            #expect(same.bestPriority == 1 && same.largestBatch == 7 && same.mostQueues == 0)
            #expect(try await world.grants.deny(role: "nobody", environmentID: world.live, kinds: ["b", "z"]))
            #expect(try await world.grants.list(environmentID: world.live).map(\.kinds) == [["a", "c"]])
            #expect(try await world.grants.deny(role: "nobody", environmentID: world.live, kinds: ["z"]) == false)
            #expect(try await world.grants.deny(role: "nobody", environmentID: world.live, kinds: ["a", "c"]))
            #expect(try await world.grants.list(environmentID: world.live).isEmpty)
            #expect(try await world.grants.deny(role: "nobody", environmentID: world.live) == false)

            let closed = try await world.login("closed", "create role {login} login password 'shop'").name
            let group = try await world.login("group", "create role {login} nologin; grant {app} to {login}").name
            for role in [closed, group] {
                _ = try await world.grants.allow(role: role, environmentID: world.test, kinds: ["a"])
            }
            let access = try await world.grants.list().map { "\($0.role) \($0.access)" }
            #expect(access == ["\(world.login) open", "\(closed) closed", "\(group) group"])

            #expect(try await world.grants.deny(role: world.login, environmentID: world.test))
            #expect(try await world.refusal("select evergrant.enqueue('mail.send')")?.sqlState == "EG101")
        }
    }

    @Test(
        arguments: [
            ("", ["a"], 2, 10), ("r", [], 2, 10), ("r", ["A"], 2, 10), ("r", ["a b"], 2, 10), ("r", ["a"], 4, 10),
            ("r", ["a"], -1, 10), ("r", ["a"], 2, 0), ("r", ["a"], 2, 10_001),
            (String(repeating: "r", count: 64), ["a"], 2, 10), ("r", [String(repeating: "a", count: 101)], 2, 10),
        ] as [(String, [String], Int16, Int)])
    func `a grant that cannot be is refused`(role: String, kinds: [String], priority: Int16, batch: Int) async throws {
        try await withQueue { fixture async throws in
            let error = await #expect(throws: QueueError.self) {
                try await AppGrants(pool: fixture.pool).allow(
                    role: role, environmentID: 1, kinds: kinds, bestPriority: priority, largestBatch: batch)
            }
            #expect(error?.code == .invalid)
        }
    }
}
