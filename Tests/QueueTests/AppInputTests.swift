import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// What an app sends: bounds, names of queues, rows of other environments.
@Suite struct AppInputTests {
    @Test func `each input has bounds, and both sides of them hold`() async throws {
        try await withApp { world async throws in
            let good = [
                "'mail.send', queue => repeat('q', 100)", "'mail.send', queue => 'A-1_b:c.d'",
                "'mail.send', unique_key => repeat('k', 500)", "'mail.send', unique_key => E'\\'; drop table x; --\\n'",
                "'mail.send', limit_key => repeat('ä', 100)", "'mail.send', max_attempts => 1",
                "'mail.send', max_attempts => 1000",
                "'mail.send', run_at => now() + interval '9 years 364 days'", "'mail.send', run_at => '1970-01-01'",
                "'mail.send', jsonb_build_object('x', repeat('y', 65536 - 9))",
                "'mail.send', (repeat('{\"a\":', 1000) || '1' || repeat('}', 1000))::jsonb",
            ]
            let bad = [
                "null", "''", "repeat('k', 201)", "'mail.send', '[]'", "'mail.send', '1'", "'mail.send', 'null'::jsonb",
                "'mail.send', jsonb_build_object('x', repeat('y', 65536 - 8))",
                "'mail.send', queue => ''", "'mail.send', queue => repeat('q', 101)", "'mail.send', queue => 'a b'",
                "'mail.send', queue => E'a\\n'", "'mail.send', queue => 'x''; drop table y'",
                "'mail.send', queue => '-a'",
                "'mail.send', priority => -1", "'mail.send', priority => 4", "'mail.send', priority => 2147483647",
                "'mail.send', run_at => 'infinity'", "'mail.send', run_at => now() + interval '10 years 1 day'",
                "'mail.send', run_at => '-infinity'",
                "'mail.send', unique_key => ''", "'mail.send', unique_key => repeat('k', 501)",
                "'mail.send', unique_key => repeat('ä', 251)", "'mail.send', limit_key => ''",
                "'mail.send', limit_key => repeat('l', 101)",
                "'mail.send', limit_key => E'mine\\nthe fleet''s'", "'mail.send', limit_key => E'\\x7f'",
                "'mail.send', max_attempts => 0",
                "'mail.send', max_attempts => 1001",
            ]
            for arguments in good {
                let error = try await world.refusal("select evergrant.enqueue(\(arguments))")
                #expect(error == nil, "\(arguments)")
            }
            for arguments in bad {
                let error = try await world.refusal("select evergrant.enqueue(\(arguments))")
                #expect(error?.sqlState == "EG106", "\(arguments)")
            }
            #expect(
                try await world.fixture.count("queues where name not in ('default', 'A-1_b:c.d', repeat('q', 100))")
                    == 0)
        }
    }

    @Test func `a faulty call of many names the job and says what is wrong`() async throws {
        try await withApp { world async throws in
            let bad = [
                ("null", "EG106", "array"), ("'{}'", "EG106", "array"), ("'[5]'", "EG106", "job 1"),
                ("'[{\"kind\": \"mail.send\"}, {}]'", "EG106", "job 2: kind"),
                ("'[{\"kind\": \"mail.send\", \"uniqe_key\": \"a\"}]'", "EG106", "job 1: unknown field"),
                ("'[{\"kind\": \"mail.send\"}, {\"kind\": \"mail.send\", \"priority\": \"high\"}]'", "EG106", "job 2"),
                ("'[{\"kind\": \"mail.send\", \"priority\": 2.5}]'", "EG106", "job 1"),
                ("'[{\"kind\": \"mail.send\", \"priority\": 99999999999}]'", "EG106", "job 1"),
                ("'[{\"kind\": \"mail.send\", \"run_at\": \"tomorow\"}]'", "EG106", "job 1"),
                ("'[{\"kind\": \"mail.send\", \"args\": []}, {\"kind\": \"mail.send\"}]'", "EG106", "job 1"),
                ("'[{\"kind\": \"mail.send\", \"environment\": \"live\"}]'", "EG106", "unknown field"),
            ]
            for (jobs, code, words) in bad {
                let error = try await world.refusal("select * from evergrant.enqueue_many(\(jobs))")
                #expect(error?.sqlState == code && error?.message.contains(words) == true, "\(jobs): \(error as Any)")
            }
            let large = """
                select count(*) from evergrant.enqueue_many((select jsonb_agg(jsonb_build_object(
                    'kind', 'mail.send', 'args', jsonb_build_object('x', repeat('y', 60000)))) from generate_series(1, 300)))
                """
            #expect(try await world.refusal(large)?.sqlState == "EG105")
            #expect(try await world.fixture.count("jobs_ready") == 0)
        }
    }

    // MARK: New queues

    @Test func `two apps that use a new queue at once share one, whichever transaction ends first`() async throws {
        try await withApp { world async throws in
            let second = world.fixture.database.pool { $0 = world.app.configuration }
            for rollsBack in [false, true] {
                let queue = "new\(rollsBack)"
                struct Undone: Error {}
                let made = EventLog<Void>()
                async let other: Int64? = {
                    await made.wait(for: 1)
                    return try await world.enqueue("'mail.send', queue => '\(queue)'", in: second)
                }()
                do {
                    try await world.app.transaction { transaction async throws in
                        _ = try await world.enqueue("'mail.sync', queue => '\(queue)'", in: transaction)
                        made.record(())
                        try await Self.untilOneWaits(world)
                        if rollsBack { throw Undone() }
                    }
                } catch is Undone {}
                let jobID = try await other
                #expect(try await world.fixture.record(jobID).queue == queue)
                #expect(try await world.fixture.count("queues where name = '\(queue)'") == 1)
                let jobs = try await world.fixture.count(
                    "jobs_ready r join evergrant.queues q on q.id = r.queue where q.name = '\(queue)'")
                #expect(jobs == (rollsBack ? 1 : 2))
            }
        }
    }

    /// Returns when a session of the app waits for another's transaction.
    private static func untilOneWaits(_ world: AppWorld) async throws {
        try await eventually {
            try await world.fixture.value(
                """
                select count(*) from pg_stat_activity
                where usename = '\(world.login)' and wait_event_type = 'Lock' and wait_event = 'transactionid'
                """, as: Int.self) == 1
        }
    }

    @Test func `waiting for a queue that an open transaction makes ends within a second`() async throws {
        try await withApp { world async throws in
            let second = world.fixture.database.pool { $0 = world.app.configuration }
            try await world.app.transaction { transaction async throws in
                _ = try await world.enqueue("'mail.sync', queue => 'new'", in: transaction)
                let error = try await world.refusal(
                    "select evergrant.enqueue('mail.send', queue => 'new')", in: second)
                #expect(error?.sqlState == "EG108")
                // The caller's own patience is as it was.
                let patience = try await world.ask("show lock_timeout", as: String.self, in: second)
                #expect(patience == "0")
            }
            #expect(try await world.enqueue("'mail.send', queue => 'new'", in: second) != nil)
        }
    }

    @Test func `Evergrant's processes never remember a queue that was rolled back`() async throws {
        try await withApp { world async throws in
            struct Undone: Error {}
            let name = QueueName(environmentID: world.test, name: "gone")
            try? await world.app.transaction { transaction async throws in
                _ = try await world.enqueue("'mail.send', queue => 'gone'", in: transaction)
                // Everyone that is not the transaction sees no such queue: a lookup by the id that may go learns nothing.
                let id = try await world.fixture.value(
                    "select last_value::int from evergrant.queues_id_seq", as: Int32.self)
                try await world.fixture.queue.names.learn(queues: [id], kinds: [])
                #expect(world.fixture.queue.names.queueName(id) == nil)
                #expect(world.fixture.queue.names.queue(name) == nil)
                throw Undone()
            }
            let jobID = try await world.fixture.enqueue(
                NewJob(kind: "mail.send", arguments: Array("{}".utf8), environmentID: world.test, queue: "gone"))
            #expect(try await world.fixture.record(jobID).queue == "gone")
            #expect(try await world.fixture.count("queues where name = 'gone'") == 1)
            #expect(try await world.enqueue("'mail.send', queue => 'gone'") != nil)
            #expect(try await world.fixture.count("queues where name = 'gone'") == 1)
        }
    }

    @Test func `an app makes no more queues than it may`() async throws {
        try await withApp { world async throws in
            _ = try await world.grants.allow(
                role: world.login, environmentID: world.test, kinds: ["mail.send"], mostQueues: 3)
            for queue in ["a", "b"] { #expect(try await world.enqueue("'mail.send', queue => '\(queue)'") != nil) }
            let error = try await world.refusal("select evergrant.enqueue('mail.send', queue => 'c')")
            #expect(error?.sqlState == "EG107" && error?.hint?.contains("a, b, default") == true)
            for queue in ["a", "default"] {
                #expect(try await world.enqueue("'mail.send', queue => '\(queue)'") != nil)
            }
        }
    }

    // MARK: Evergrant's own kinds

    @Test func `arguments of Evergrant's kinds name rows of the environment, by public id or row`() async throws {
        try await withApp { world async throws in
            _ = try await world.grants.allow(
                role: world.login, environmentID: world.test,
                kinds: ["connection.validate", "connection.refresh", "webhook.deliver"])
            func connection(_ environment: Int64, _ number: Int) async throws -> (id: Int64, uid: String) {
                let row = try await world.fixture.pool.execute(
                    PostgresStatement(
                        "connection",
                        """
                        insert into evergrant.connections (environment_id, mode, integration, provider, identity_type,
                            identity, state, grant_id, generation)
                        values (\(environment), 'test', 'i', 'p', 'user', 'u\(number)', 'active', gen_random_uuid(), 4)
                        returning id, 'conn_' || replace(uid::text, '-', '')
                        """))
                let (id, uid) = try row[0].decode(Int64.self, String.self)
                return (id, uid)
            }
            let mine = try await connection(world.test, 1)
            let stranger = try await connection(world.live, 2)
            for given in ["\(mine.id)", "\"\(mine.id)\"", "\"\(mine.uid)\""] {
                let jobID = try await world.enqueue("'connection.validate', '{\"connection\": \(given)}'")
                #expect(try await world.fixture.record(jobID).arguments == Array(#"{"connection": \#(mine.id)}"#.utf8))
            }
            let refresh = try await world.enqueue("'connection.refresh', '{\"connection\": \"\(mine.uid)\"}'")
            #expect(
                try await world.fixture.record(refresh).arguments
                    == Array(#"{"connection": \#(mine.id), "generation": 4}"#.utf8))
            let given = try await world.enqueue(
                "'connection.refresh', '{\"connection\": \(mine.id), \"generation\": 2, \"reopens\": true}'")
            #expect(
                try await world.fixture.record(given).arguments
                    == Array(#"{"connection": \#(mine.id), "generation": 2}"#.utf8))
            for given in [
                "{\"connection\": \(stranger.id)}", "{\"connection\": \"\(stranger.uid)\"}", "{}",
                "{\"connection\": null}", "{\"connection\": 99999999999999999999}", "{\"connection\": \"conn_x\"}",
                "{\"connection\": {\"id\": \(mine.id)}}", "{\"connection\": [\(mine.id)]}",
            ] {
                let error = try await world.refusal("select evergrant.enqueue('connection.validate', '\(given)')")
                #expect(error?.sqlState == "EG109", "\(given)")
            }
            let error = try await world.refusal("select evergrant.enqueue('webhook.deliver', '{\"delivery\": 1}')")
            #expect(error?.sqlState == "EG109" && error?.message.contains("delivery") == true)
        }
    }
}
