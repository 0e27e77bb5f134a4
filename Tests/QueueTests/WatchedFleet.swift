import Foundation
import Logging
import Pacing
import Postgres
import Testing

@testable import Queue

/// Three runners and two observers, each with a pool of its own, watched over a connection that their trouble does not
/// touch.
final class WatchedFleet: Sendable {
    let queue: JobQueue
    private let direct: PostgresPool
    private let pools: [PostgresPool]
    private let patience: Duration

    /// `pools`: of three runners, then of two observers.
    init(direct url: String, pools: [PostgresPool], patience: Duration) {
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 1
        configuration.applicationName = "watch"
        direct = PostgresPool(configuration, logger: quiet)
        self.pools = pools
        self.patience = patience
        queue = JobQueue(pool: direct, logger: quiet)
    }

    /// Beats while `body` runs, and leaves in order afterwards.
    func living(_ handler: any JobHandler, concurrency: Int, _ body: () async throws -> Void) async throws {
        var runners: [JobRunner] = []
        for pool in pools.prefix(3) {
            var configuration = JobRunnerConfiguration()
            configuration.pollInterval = .milliseconds(5) ... .milliseconds(10)
            configuration.beatInterval = .milliseconds(200)
            configuration.beatTolerance = patience * 3 / 4
            configuration.concurrency = concurrency
            runners.append(
                JobRunner(
                    queue: JobQueue(pool: pool, logger: quiet), pool: pool, handlers: [handler],
                    configuration: configuration, logger: quiet))
        }
        var watching = WorkerObserverConfiguration()
        watching.patience = patience
        watching.gap = .seconds(1)
        watching.interval = .milliseconds(100)
        let observers = pools.suffix(2).map { WorkerObserver(pool: $0, configuration: watching, logger: quiet) }
        let observing = observers.map { observer in Task { try await observer.run() } }
        do {
            try await whileRunning(runners[0], runners[1], runners[2], body: body)
        } catch {
            for task in observing { task.cancel() }
            throw error
        }
        for task in observing { task.cancel() }
        for task in observing { _ = await task.result }
    }

    func close() async {
        for pool in pools { await pool.close(grace: .zero) }
        await direct.close()
    }

    func control(_ sql: String) async throws -> Int {
        try await direct.execute(PostgresStatement("count", "select count(*) from evergrant.\(sql)")).value(Int.self)
            ?? 0
    }

    /// A worker that never beats.
    func addDead() async throws {
        try await direct.execute(
            PostgresStatement("add a dead worker", "insert into evergrant.workers (name) values ('still')"))
    }

    // MARK: The faulty rule

    /// Writes the time of each beat beside it, as a queue that compares times would.
    func keepTimes() async throws {
        try await direct.executeScript(
            PostgresStatement(
                "keep times",
                """
                alter table evergrant.workers add beaten_at timestamptz not null default clock_timestamp();
                create function beaten() returns trigger language plpgsql as $$
                begin
                    new.beaten_at := clock_timestamp();
                    return new;
                end $$;
                create trigger beaten before update of beat on evergrant.workers
                for each row execute function beaten();
                """))
    }

    /// How many running jobs a rescue by the age of beats would put back now; puts back none.
    func rescuedByTheClock() async throws -> Int {
        var moved = 0
        do {
            try await direct.transaction { transaction async throws in
                try await transaction.execute(
                    PostgresStatement(
                        "declare dead by the clock",
                        "update evergrant.workers set dead = true where beaten_at < now() - $1 * interval '1 second'"),
                    [.float8(patience.seconds)])
                let leases = try await transaction.execute(Statements.rescueLock, [.int4(1000)])
                    .map { try $0.decode(Int64.self) }
                moved = try await transaction.execute(Statements.rescueMove, [.int8Array(leases)]).value(Int.self) ?? 0
                throw RolledBack()
            }
        } catch is RolledBack {}
        return moved
    }

    // MARK: Frozen backends

    private static let idle = PostgresStatement(
        "list idle sessions",
        """
        select pid from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid() and state = 'idle'
        """)

    /// Stops the server's main process and every session but ours, none of them in the middle of a statement, while `body`
    /// runs. No connection ends; new ones wait in the kernel's queue.
    func frozen(_ body: () async throws -> Void) async throws {
        let main = try #require(
            try await direct.execute(
                PostgresStatement(
                    "find the main process", "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int4")
            ).value(Int32.self))
        var stopped: Set<Int32> = []
        defer { for pid in stopped { kill(pid, SIGCONT) } }
        kill(main, SIGSTOP)
        stopped.insert(main)
        try await eventually {
            for row in try await direct.execute(Self.idle) {
                let pid = try row.decode(Int32.self)
                kill(pid, SIGSTOP)
                stopped.insert(pid)
            }
            // One that had taken up a statement meanwhile goes on with it, and is stopped after it.
            let (busy, sessions) = try #require(
                try await direct.execute(
                    PostgresStatement(
                        "list busy sessions",
                        """
                        select coalesce(array_agg(pid::int8) filter (where state <> 'idle'), '{}'), count(*)::int4
                        from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
                        """)
                ).first
            ).decode([Int64].self, Int32.self)
            for pid in busy.map(Int32.init) where stopped.remove(pid) != nil { kill(pid, SIGCONT) }
            return busy.isEmpty && stopped.count == sessions + 1
        }
        try await body()
    }
}
