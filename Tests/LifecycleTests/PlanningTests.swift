import Credentials
import Foundation
import Jobs
import Lifecycle
import LifecycleSupport
import Pacing
import Postgres
import Queue
import Sandbox
import Store
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct LifecyclePlanningTests {
    /// Copies of a connection with the times that a test states, as SQL.
    private func copies(
        _ connection: ConnectionRecord, _ rows: [(name: String, set: String)], in world: LifecycleWorld
    ) async throws {
        for row in rows {
            try await world.pool.execute(
                PostgresStatement(
                    "test_copy",
                    """
                    with c as (
                        insert into evergrant.connections (environment_id, mode, integration, provider, oauth_app_id,
                            identity_type, identity, name, state, grant_id, generation)
                        select environment_id, mode, integration, provider, oauth_app_id, identity_type, identity, $2,
                            'active', grant_id, generation from evergrant.connections where id = $1 returning id)
                    select id from c
                    """), [.int8(connection.id), .text(row.name)])
            try await world.pool.executeScript(
                PostgresStatement(
                    "test_set", "update evergrant.connections set \(row.set) where name = '\(row.name)'"))
        }
    }

    private func names(_ due: [DueConnection], in world: LifecycleWorld) async throws -> [String] {
        var names: [String] = []
        for connection in due {
            names.append(try await Connections.find(id: connection.id, in: world.pool)?.name ?? "?")
        }
        return names
    }

    private func times(_ connection: ConnectionRecord, in world: LifecycleWorld) async throws -> (
        due: Double?, ahead: Double?, lost: Double?
    ) {
        let rows = try await world.pool.execute(
            PostgresStatement(
                "test_times",
                """
                select extract(epoch from refresh_due_at - access_issued_at)::float8,
                    extract(epoch from ahead_at - access_issued_at)::float8,
                    extract(epoch from lost_at - access_issued_at)::float8
                from evergrant.connections where id = $1
                """), [.int8(connection.id)])
        guard let row = rows.first else { return (nil, nil, nil) }
        return try row.decode(Double?.self, Double?.self, Double?.self)
    }

    private func run(_ sql: String, in world: LifecycleWorld) async throws {
        try await world.pool.executeScript(PostgresStatement("test_script", sql))
    }

    /// As an operator sets it.
    private func set(_ parameters: String, in world: LifecycleWorld) async throws {
        try await run("update evergrant.oauth_apps set parameters = '\(parameters)'", in: world)
    }

    @Test func `closing windows go first, then the nearest loss, then the longest due`() async throws {
        try await LifecycleWorld.with { world in
            let seed = try await world.connect("strict", life: 3600)
            try await copies(
                seed,
                [
                    ("late", "refresh_due_at = now() - interval '1 hour'"),
                    ("later", "refresh_due_at = now() - interval '2 hours', lost_at = now() + interval '90 days'"),
                    ("soon lost", "refresh_due_at = now() - interval '1 minute', lost_at = now() + interval '3 hours'"),
                    (
                        "nearly lost",
                        "refresh_due_at = now() - interval '1 second', lost_at = now() + interval '1 hour'"
                    ),
                    ("closing", "refresh_due_at = now(), ambiguous_generation = 1, ambiguous_since = now()"),
                    ("not due", "refresh_due_at = now() + interval '1 minute', lost_at = now() + interval '1 minute'"),
                ], in: world)
            let first = try await Attempts.claimDue(
                limit: 3, claim: .seconds(900), horizon: .seconds(86_400), in: world.pool)
            #expect(try await names(first, in: world) == ["closing", "nearly lost", "soon lost"])
            let second = try await Attempts.claimDue(
                limit: 3, claim: .seconds(900), horizon: .seconds(86_400), in: world.pool)
            #expect(try await names(second, in: world) == ["later", "late"])
        }
    }

    @Test func `after a long downtime any number of schedulers plan each connection once`() async throws {
        try await LifecycleWorld.with { world in
            let seed = try await world.connect("replayable", life: 3600)
            try await copies(
                seed, (0..<40).map { ("c\($0)", "refresh_due_at = now() - interval '\($0) hours'") }, in: world)
            let planned = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let planner = LifecyclePlanner(world.services, batch: 7)
                        var sum = 0
                        while true {
                            let count = try await planner.planRefreshes()
                            if count == 0 { return sum }
                            sum += count
                        }
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(planned == 40)
            let jobs = try await world.services.queue.depths().filter { $0.priority == Lane.due.rawValue }
            #expect(jobs.reduce(0) { $0 + $1.jobs } == 40)
        }
    }

    @Test func `a connection that nobody uses is left until a third of its idle limit, and is hot at its first use`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            try await set(#"{"idle_limit_seconds": "2592000"}"#, in: world)
            try await run("update evergrant.connections set created_at = now() - interval '30 days'", in: world)
            #expect(try await world.refresh(connection) == .refreshed)
            var times = try await times(connection, in: world)
            #expect((7.4 * 86_400...10 * 86_400).contains(times.due ?? 0))
            #expect((2400...3300).contains(times.ahead ?? 0))
            #expect(abs((times.lost ?? 0) - 2_592_000) < 1)

            try await Connections.touchUsed([connection.id: Date()], in: world.pool)
            times = try await self.times(connection, in: world)
            #expect((2400...3300).contains(times.due ?? 0))
            #expect(times.ahead == nil)
            // From now on it is refreshed ahead of each end.
            #expect(try await world.refresh(connection) == .refreshed)
            #expect((2400...3300).contains(try await self.times(connection, in: world).due ?? 0))
        }
    }

    @Test func `a use never pulls a connection forward that waits after trouble`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            try await run(
                """
                update evergrant.connections set refresh_due_at = now() + interval '1 hour',
                    ahead_at = now() - interval '1 hour', next_attempt_at = now() + interval '1 hour'
                """, in: world)
            try await Connections.touchUsed([connection.id: Date()], in: world.pool)
            let due = try #require(try await world.row(connection).refreshDueAt)
            #expect(due.timeIntervalSinceNow > 3000)
        }
    }

    @Test func `an unused grant is tried once more at its end, not long after it`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            try await set(#"{"idle_limit_seconds": "2592000"}"#, in: world)
            try await run(
                """
                update evergrant.connections set created_at = now() - interval '30 days',
                    ends_at = now() + interval '2 days'
                """, in: world)
            #expect(try await world.refresh(connection) == .refreshed)
            let row = try await world.row(connection)
            #expect(row.refreshDueAt == row.endsAt)
        }
    }

    @Test func `a refusal after a known end breaks the connection as expired, one before it as refused`() async throws {
        try await LifecycleWorld.with { world in
            for (end, reason) in [
                ("- interval '1 minute'", ConnectionReason.expired), ("+ interval '1 hour'", .refused),
            ] {
                let connection = try await world.connect("replayable", life: 3600)
                try await run(
                    "update evergrant.connections set ends_at = now() \(end) where id = \(connection.id)", in: world)
                try await world.control(
                    "faults", #"{"class":"replayable","endpoint":"token-refresh","kind":"invalid_grant","count":2}"#)
                _ = try await world.refresh(connection)
                _ = try await world.refresh(connection)
                let row = try await world.row(connection)
                #expect(row.state == .broken)
                #expect(row.reason == reason)
            }
        }
    }

    @Test func `an end is announced once at each distance, without a transition, and again for a new end`() async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            let planner = LifecyclePlanner(world.services)
            let version = connection.version
            try await run(
                """
                update evergrant.connections set ends_at = now() + interval '29 days',
                    warn_due_at = now() - interval '1 day'
                """, in: world)
            #expect(try await planner.tellEnds() == 1)
            #expect(try await planner.tellEnds() == 0)
            #expect(try await world.events(connection) == ["connection.created", "connection.expiring"])
            #expect(try await world.row(connection).version == version)

            // The last day has come while no scheduler ran: one warning, not two.
            try await run(
                "update evergrant.connections set ends_at = now() + interval '12 hours', warn_due_at = now()", in: world
            )
            #expect(try await planner.tellEnds() == 1)
            #expect(try await planner.tellEnds() == 0)
            #expect(try await world.events(connection).filter { $0 == "connection.expiring" }.count == 2)
            let payload = try await world.pool.execute(
                PostgresStatement(
                    "test_payload",
                    """
                    select payload ->> 'ends_at' = payload -> 'connection' ->> 'ends_at',
                        payload -> 'reconnect' ->> 'path', (payload ->> 'seconds_left')::bigint
                    from evergrant.events where type = 'connection.expiring' order by id desc limit 1
                    """)
            ).first?.decode(Bool.self, String.self, Int64.self)
            #expect(payload?.0 == true)
            #expect(payload?.1 == "/v1/connections/\(connection.publicID)/reconnect")
            #expect((43_000...43_200).contains(payload?.2 ?? 0))
        }
    }

    @Test func `a refresh that repeats the end which was warned of does not warn again`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            try await run(
                """
                update evergrant.connections set ends_at = now() + interval '20 days',
                    warned_end = now() + interval '20 days', warn_due_at = now() + interval '13 days'
                """, in: world)
            #expect(try await world.refresh(connection) == .refreshed)
            let planner = LifecyclePlanner(world.services)
            #expect(try await planner.tellEnds() == 0)
        }
    }

    @Test func `callers and jobs take from one bucket, and a caller without room is told when to come back`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 3600)
            try await set(#"{"refresh_limit": "4/600"}"#, in: world)
            let refresher = CredentialRefresher(world.services)
            for _ in 0..<2 {
                _ = try await refresher.refreshNow(uid: connection.uid, environmentID: world.environmentID)
            }
            let error = await #expect(throws: CredentialError.self) {
                try await refresher.refreshNow(uid: connection.uid, environmentID: world.environmentID)
            }
            #expect(error?.code == .refreshFailed)
            #expect((200...301).contains(error?.retryAfter?.seconds ?? 0))
            #expect(world.sandbox.state.grants().map(\.refreshes).reduce(0, +) == 2)
            // Nothing happened to the connection, and nobody is told.
            #expect(try await world.row(connection).state == .active)
            #expect(try await world.row(connection).failures == 0)
            #expect(try await world.events(connection) == ["connection.created"])
            let limit = try #require(
                try await world.services.queue.limits(prefix: "refresh:app:").first)
            #expect(limit.tokens ?? 9 < 1)
        }
    }

    @Test func `a limit of a grant holds for that grant alone`() async throws {
        try await LifecycleWorld.with { world in
            let one = try await world.connect("replayable", account: "one@example.com", life: 3600, identity: "one")
            let two = try await world.connect("replayable", account: "two@example.com", life: 3600, identity: "two")
            try await set(#"{"grant_refresh_limit": "2/600"}"#, in: world)
            #expect(try await world.refresh(one) == .refreshed)
            guard case .trouble(_, let wait) = try await world.refresh(one) else {
                Issue.record("the second of one grant was let through")
                return
            }
            #expect((500...600).contains(wait.seconds))
            #expect(try await world.refresh(two) == .refreshed)
        }
    }

    @Test func `jobs of a limited app carry its key, and more than its line holds come due later, spread`() async throws
    {
        try await LifecycleWorld.with { world in
            let seed = try await world.connect("replayable", life: 3600)
            try await set(#"{"refresh_limit": "10/60"}"#, in: world)
            try await copies(seed, (0..<60).map { ("c\($0)", "refresh_due_at = now()") }, in: world)
            try await run("update evergrant.connections set refresh_due_at = null where name = ''", in: world)
            let planner = LifecyclePlanner(world.services, batch: 100)
            #expect(try await planner.planRefreshes() == 60)
            // Five at once and 5/60 a second for 120 seconds.
            let jobs = try await world.services.queue.depths().filter { $0.priority == Lane.due.rawValue }
            #expect(jobs.reduce(0) { $0 + $1.jobs } == 15)
            let waits = try await world.pool.execute(
                PostgresStatement(
                    "test_waits",
                    """
                    select extract(epoch from refresh_due_at - now())::float8 from evergrant.connections
                    where refresh_due_at < now() + interval '14 minutes' order by refresh_due_at
                    """)
            ).map { try $0.decode(Double.self) }
            #expect((50...61).contains(waits.first ?? 0))
            #expect(zip(waits, waits.dropFirst()).allSatisfy { (11...13).contains($1 - $0) })
        }
    }

    @Test func `with many due at once the provider never sees more than the limit in any stretch of its seconds`()
        async throws
    {
        try await LifecycleWorld.with { world in
            for number in 0..<24 {
                _ = try await world.connect(
                    "replayable", account: "user\(number)@example.com", life: 3600, identity: "user-\(number)")
            }
            // One OAuth app for all of them.
            try await run(
                """
                update evergrant.oauth_apps set parameters = '{"refresh_limit": "8/2"}';
                update evergrant.connections set refresh_due_at = now(),
                    oauth_app_id = (select min(id) from evergrant.oauth_apps);
                """, in: world)
            let planner = LifecyclePlanner(world.services)
            #expect(try await planner.planRefreshes() == 24)
            let runnerPool = world.database.pool { $0.maximumConnections = 6 }
            var configuration = JobRunnerConfiguration()
            configuration.concurrency = 24
            let runner = JobRunner(
                queue: JobQueue(pool: runnerPool, logger: world.services.logger), pool: runnerPool,
                handlers: [AttemptHandler(attempts: RefreshAttempts(world.services))], configuration: configuration,
                logger: world.services.logger)
            let work = Task { try await runner.run() }
            defer { runner.drain() }
            try await world.waitForRefreshes(24)
            runner.drain()
            try await work.value
            let times = world.sandbox.state.ledger().requests.filter { $0.endpoint == .tokenRefresh }.map(\.time)
                .sorted()
            #expect(times.count == 24)
            for first in times { #expect(times.filter { $0 >= first && $0 < first + 2 }.count <= 8) }
        }
    }
}

/// As the worker's own handler.
private struct AttemptHandler: JobHandler {
    let kind = RefreshConnection.kind
    let attempts: RefreshAttempts

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let arguments = try RefreshConnection(of: job)
        _ = try await attempts.refresh(
            connectionID: arguments.connection, generation: arguments.generation, isAdmitted: !job.limitKeys.isEmpty)
        return .complete
    }
}
