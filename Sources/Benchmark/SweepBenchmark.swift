import Credentials
import Foundation
import Logging
import Pacing
import Postgres
import Queue
import Store
import Vault

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What `bench sweep` measures.
package struct SweepBenchmarkOptions: Sendable {
    package var connections = 1_000_000
    package var url: String?
    package var directory: String?
    package var durable = true
    /// This program, for the scheduler that is measured; empty: none is.
    package var program = ""

    package init() {}
}

/// A database with very many connections, all made in one minute: how evenly they come due, what a sweep costs when nothing,
/// a little and everything is due, by which index, and how much memory a scheduler needs for it.
package struct SweepBenchmark: Sendable {
    private let options: SweepBenchmarkOptions
    private let logger: Logger
    private let say: @Sendable (String) -> Void

    package init(
        _ options: SweepBenchmarkOptions, logger: Logger, say: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.options = options
        self.logger = logger
        self.say = say
    }

    /// The report, as text.
    /// - Throws: ``BenchmarkError`` when a sweep does not use its indexes or the due times are not smooth.
    package func run() async throws -> String {
        var place = QueueBenchmarkOptions()
        place.url = options.url
        place.directory = options.directory
        place.durable = options.durable
        let server = try await BenchmarkServer.start(place, logger: logger)
        do {
            let conditions = try await Conditions.read(
                from: server.pool, syncing: server.directory,
                connection: server.isPrivate ? "client and server on one machine, unix socket" : "server that was named"
            )
            let url = try await server.makeMigratedDatabase("sweep")
            var configuration = PostgresConfiguration(url: url)
            configuration.maximumConnections = 2
            configuration.statementTimeout = .seconds(3600)
            let pool = PostgresPool(configuration, logger: logger)
            let lines = try await measure(pool, url: url)
            await pool.close()
            try await server.dropDatabase("sweep")
            await server.stop()
            return ([conditions.text, ""] + lines).joined(separator: "\n")
        } catch {
            await server.stop()
            throw error
        }
    }

    private func measure(_ pool: PostgresPool, url: String) async throws -> [String] {
        let count = options.connections
        let start = Date()
        var filled: Duration = .zero
        filled = try await ContinuousClock().measure { try await fill(pool, count, from: start) }
        say("\(count) connections in \(Int(filled.seconds)) s")
        var lines = ["\(count) connections, made within one minute, with tokens of one hour"]
        lines.append(try await smoothness(pool, from: start))
        // Idle limits as most providers have them; one in a thousand is near its loss.
        try await run(
            pool, "update evergrant.connections set lost_at = access_issued_at + interval '60 days' where id % 3 = 0")
        try await run(pool, "vacuum analyze evergrant.connections")
        lines.append("one sweep of 500, as the scheduler makes it, rolled back:")
        lines.append(try await sweep(pool, "nothing is due"))
        try await run(
            pool,
            """
            update evergrant.connections set refresh_due_at = now() - interval '1 minute'
            where id in (select id from evergrant.connections order by id limit 500)
            """)
        lines.append(try await sweep(pool, "500 are due"))
        try await run(
            pool,
            """
            update evergrant.connections set refresh_due_at = now() - interval '1 hour' * (id % 24) - interval '1 second',
                lost_at = case when id % 1000 = 0 then now() + interval '1 hour' else lost_at end,
                ambiguous_generation = case when id % 10000 = 1 then generation end
            """)
        try await run(pool, "vacuum analyze evergrant.connections")
        lines.append(try await sweep(pool, "all are due, after a day's downtime"))
        lines.append(try await order(pool))
        lines.append(try await drain(pool))
        if !options.program.isEmpty { lines.append(try await memory(pool, url: url)) }
        return lines
    }

    /// Rows as connecting makes them, their times by the same function.
    private func fill(_ pool: PostgresPool, _ count: Int, from start: Date) async throws {
        try await run(
            pool, "insert into evergrant.environments (name, mode) values ('bench', 'test') on conflict do nothing")
        try await run(pool, "alter table evergrant.connections disable trigger a_beginning_is_told")
        for first in stride(from: 0, to: count, by: 5000) {
            var uids: [String] = []
            var issued: [Date?] = []
            var due: [Date?] = []
            for number in first..<min(first + 5000, count) {
                let uid = UUID()
                let made = start.addingTimeInterval(60 * Double(number) / Double(count))
                let plan = GrantSchedule.make(
                    tokens: TokenSet(
                        accessToken: Secret("a"), refreshToken: Secret("r"), expiresAt: made.addingTimeInterval(3600)),
                    issuedAt: made, lifetimes: GrantLifetimes(), requestedScopes: [], key: uid)
                uids.append(uid.uuidString)
                issued.append(made)
                due.append(plan.refreshDueAt)
            }
            try await pool.execute(
                PostgresStatement(
                    "insert connections",
                    """
                    insert into evergrant.connections (uid, environment_id, mode, integration, provider, identity_type,
                        identity, state, grant_id, access_issued_at, access_expires_at, refresh_due_at)
                    select u.uid::uuid, e.id, 'test', 'bench', 'bench', 'user', u.uid, 'active', u.uid::uuid, u.issued,
                        u.issued + interval '1 hour', u.due
                    from evergrant.environments e, unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
                        u(uid, issued, due)
                    """), [.textArray(uids), .timestamptzArray(issued), .timestamptzArray(due)])
        }
        try await run(pool, "alter table evergrant.connections enable trigger a_beginning_is_told")
        try await run(pool, "vacuum analyze evergrant.connections")
    }

    /// How many come due in each ten seconds of the band in which they do.
    private func smoothness(_ pool: PostgresPool, from start: Date) async throws -> String {
        let rows = try await pool.execute(
            PostgresStatement(
                "count due times",
                """
                select width_bucket(extract(epoch from refresh_due_at - $1)::float8, 2520, 3300, 78), count(*)
                from evergrant.connections group by 1 order by 1
                """), [.timestamptz(start)])
        let bins = try rows.map { try $0.decode(Int32.self, Int64.self).1 }
        let mean = Double(bins.reduce(0, +)) / 78
        let peak = Double(bins.max() ?? 0)
        guard bins.count <= 78, peak <= 1.5 * mean else {
            throw BenchmarkError(.wrongCount, "due times are not smooth: peak \(peak), mean \(mean) in ten seconds")
        }
        return String(
            format: "smoothing: due over 13 minutes, %.0f a second on average, at most %.0f (peak / mean %.2f)",
            mean / 10, peak / 10, peak / mean)
    }

    private func sweep(_ pool: PostgresPool, _ what: String) async throws -> String {
        var best: (time: Double, text: String)?
        for _ in 0..<3 {
            let text = try await explain(pool)
            guard let found = text.firstMatch(of: /Execution Time: ([0-9.]+) ms/), let time = Double(found.1) else {
                throw BenchmarkError(.failed, "the plan has no time: \(text)")
            }
            if time < best?.time ?? .infinity { best = (time, text) }
        }
        guard let best else { throw BenchmarkError(.failed, "nothing was explained") }
        let indexes = Set(best.text.matches(of: /Index Scan (?:using|on) (connections_[a-z_]+)/).map { String($0.1) })
        let wanted: Set = ["connections_closing_due", "connections_lost", "connections_refresh_due"]
        guard wanted.isSubset(of: indexes), !best.text.contains("Seq Scan on connections") else {
            throw BenchmarkError(.failed, "a sweep does not use its indexes when \(what):\n\(best.text)")
        }
        let hit = best.text.firstMatch(of: /Buffers: shared hit=([0-9]+)/).flatMap { Int($0.1) } ?? 0
        return String(
            format: "  %@: %.1f ms, %d pages, by %@", what, best.time, hit, indexes.sorted().joined(separator: ", "))
    }

    private func explain(_ pool: PostgresPool) async throws -> String {
        do {
            try await explainAndRollBack(pool)
            return ""
        } catch let error as RolledBack {
            return error.text
        }
    }

    private func explainAndRollBack(_ pool: PostgresPool) async throws {
        try await pool.transaction { transaction in
            // As a prepared statement is planned after its fifth execution.
            try await transaction.execute(PostgresStatement("plan", "set local plan_cache_mode = force_generic_plan"))
            try await transaction.execute(
                PostgresStatement(
                    "prepare sweep",
                    "prepare sweep(bigint, float8, float8) as " + Attempts.claimDueStatement.sql))
            let rows = try await transaction.execute(
                PostgresStatement(
                    "explain sweep", "explain (analyze, buffers, format text) execute sweep(500, 900, 86400)"))
            let text = try rows.map { try $0.decode(String.self) }.joined(separator: "\n")
            // What it claimed is given back, so that the next one finds the same.
            try await transaction.execute(PostgresStatement("deallocate sweep", "deallocate sweep"))
            throw RolledBack(text: text)
        }
    }

    /// The first claims after a downtime, by class.
    private func order(_ pool: PostgresPool) async throws -> String {
        let due = try await Attempts.claimDue(limit: 2000, claim: .seconds(900), horizon: .seconds(86_400), in: pool)
        let closing = due.prefix { $0.isAmbiguous }.count
        return
            "order after it: \(closing) closing windows first, then \(due.count - closing) by nearest loss and due time"
    }

    /// Sweeps with their jobs, until 50,000 (at most half of all) are planned.
    private func drain(_ pool: PostgresPool) async throws -> String {
        let queue = JobQueue(pool: pool, logger: logger)
        let clock = ContinuousClock()
        var planned = 0
        let time = try await clock.measure {
            while planned < min(50_000, options.connections / 2) {
                let count = try await pool.transaction { transaction in
                    let due = try await Attempts.claimDue(
                        limit: 500, claim: .seconds(900), horizon: .seconds(86_400), in: transaction)
                    let jobs = due.map {
                        NewJob(
                            kind: "connection.refresh",
                            arguments: Array(#"{"connection":\#($0.id),"generation":1}"#.utf8),
                            environmentID: $0.environmentID)
                    }
                    if !jobs.isEmpty { _ = try await queue.enqueue(jobs, in: transaction) }
                    return due.count
                }
                if count == 0 { break }
                planned += count
            }
        }
        return String(
            format: "planning with jobs, batches of 500: %.0f connections a second", Double(planned) / time.seconds)
    }

    /// A scheduler process that has planned until its lanes were full.
    private func memory(_ pool: PostgresPool, url: String) async throws -> String {
        try await run(pool, "truncate evergrant.jobs_ready")
        let directory = "/var/tmp/evergrant-bench-\(getpid())-sweep"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let line = "bench \(Encoding.base64(SecureRandom.bytes(32))) primary\n"
        let scheduler = try SecondProcess(
            [options.program, "scheduler"],
            environment: [
                "EVERGRANT_DATABASE_URL": url, "EVERGRANT_KEYRING_KEYS": line, "EVERGRANT_LOG_LEVEL": "warning",
            ])
        let deadline = BootInstant.now().advanced(by: .seconds(60))
        var jobs: Int64 = 0
        while jobs < 2000 {
            if BootInstant.now() > deadline {
                scheduler.send(signal: SIGKILL)
                throw BenchmarkError(
                    .failed, "the scheduler planned \(jobs) of 2000 in a minute: \(scheduler.complaints)")
            }
            try await Task.sleep(for: .milliseconds(200))
            jobs =
                try await pool.execute(PostgresStatement("count jobs", "select count(*) from evergrant.jobs_ready"))
                .first?.decode(Int64.self) ?? 0
        }
        let status = (try? String(contentsOfFile: "/proc/\(scheduler.processID)/status", encoding: .utf8)) ?? ""
        func field(_ name: String) -> String {
            status.split(separator: "\n").first { $0.hasPrefix(name) }
                .map { String($0.drop { !$0.isNumber }) } ?? "unknown"
        }
        let line2 =
            "scheduler process: \(field("VmRSS")) resident now, \(field("VmHWM")) at most; its lanes hold \(jobs)"
        scheduler.send(signal: SIGTERM)
        _ = await scheduler.end()
        return line2
    }

    private func run(_ pool: PostgresPool, _ sql: String) async throws {
        try await pool.execute(PostgresStatement("prepare measurement", sql))
    }
}

/// Ends a transaction without its effects, with what was learnt in it.
private struct RolledBack: Error {
    let text: String
}
