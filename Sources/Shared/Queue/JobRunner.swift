import Logging
import Pacing
import Postgres
import ServiceLifecycle

/// Claims jobs, performs them, and settles them.
///
/// Four kinds of loop share one state. *Exchange* settles whole leases and claims as many jobs as there are free slots, in
/// one statement and one commit; the first exchange loop also looks for work, the others join in while there is plenty. *Settling* writes what goes job by job, so that a key held by a stranger's transaction stops
/// no claim. *Beats* show that the runner lives. The *scout* raises low-water marks.
///
/// What can go wrong, and what then happens:
/// - The process dies: an observer sees no beat for 20 s and rescue puts its unmarked jobs back.
/// - The process only seemed dead: its next beat finds no row; it takes a new identity and drops the outcomes of its old
///   leases, whose jobs run elsewhere. A settle of an old lease changes nothing.
/// - The database is away: loops try again with backoff; finished jobs wait and are settled when it is back, if the lease
///   is still ours. Without a beat for 15 s nothing is claimed.
/// - The answer to a claim is lost: the lease belongs to a living worker that does not know it. Two looks at our leases,
///   with every exchange of the first look over by the second, find it, and its jobs are put back without an attempt.
/// - A handler says that it settled and did not: the lease cannot be closed, and the job is retried.
///
/// Give it a pool of its own with `JobQueue.sessionSettings` and at least four connections: handlers that keep a shared
/// pool busy would hold up its beats.
package final class JobRunner: Service {
    let queue: JobQueue
    let pool: PostgresPool
    let performers: [String: Performer]
    let configuration: JobRunnerConfiguration
    let state: RunnerState
    let metrics: QueueMetrics
    let logger: Logger

    /// Of two handlers of one kind the later one is used.
    package init(
        queue: JobQueue, pool: PostgresPool, handlers: [any JobHandler],
        configuration: JobRunnerConfiguration = JobRunnerConfiguration(), logger: Logger
    ) {
        self.queue = queue
        self.pool = pool
        let metrics = QueueMetrics()
        self.metrics = metrics
        performers = Dictionary(
            handlers.map { ($0.kind, Performer(handler: $0, metrics: metrics.kind($0.kind))) },
            uniquingKeysWith: { $1 })
        self.configuration = configuration
        self.logger = logger
        state = RunnerState(configuration)
    }

    /// Works until told to stop in order (graceful shutdown, or `drain()`): then claims nothing more, lets running jobs end
    /// for up to `drainTimeout`, gives back the others without an attempt, and leaves. Cancelling the task stops at once
    /// and settles nothing; rescue then takes over. Waits for a database that is away.
    package func run() async throws {
        await withGracefulShutdownHandler {
            guard await start() else { return }
            await withTaskGroup(of: Void.self) { services in
                services.addTask { await self.beatLoop() }
                services.addTask { await self.scoutLoop() }
                if configuration.listens { services.addTask { await self.listen() } }
                await withTaskGroup(of: Void.self) { work in
                    work.addTask { await self.settleLoop() }
                    work.addTask {
                        await withTaskGroup(of: Void.self) { loops in
                            for index in self.state.exchangeBells.indices {
                                loops.addTask {
                                    await withDiscardingTaskGroup { jobs in await self.exchangeLoop(index, &jobs) }
                                }
                            }
                        }
                        self.state.stop()
                    }
                }
            }
            await leave()
        } onGracefulShutdown: {
            self.state.drain()
        }
        try Task.checkCancellation()
    }

    /// Stops as graceful shutdown does; `run` returns when it is done.
    package func drain() { state.drain() }

    /// Looks for jobs now instead of at the next poll.
    package func wake() {
        state.withLock {
            $0.searching.wakes += 1
            $0.searching.lookNow()
        }
        state.ringScout()
    }

    /// Looks for jobs whenever an enqueue says that a lane has filled, on a connection of its own.
    private func listen() async {
        let notifications = pool.notifications(on: [WakeUp.channel])
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in notifications { self.wake() } }
            group.addTask { await self.state.listenBell.wait() }
            await group.next()
            group.cancelAll()
        }
    }

    /// Registers the worker; false when told to stop before that.
    private func start() async -> Bool {
        var retry = Retry(logger: logger, what: "the job runner cannot start yet")
        while !Task.isCancelled, state.phase == .running {
            do {
                try await queue.names.prepare(queues: [], kinds: performers.keys)
                _ = try await pool.execute(Statements.makeHistory, [.int4(QueueMaintenance.daysAhead)])
                try await register()
                logger.info("job runner started", metadata: ["worker": "\(state.withLock { $0.workerID })"])
                return true
            } catch {
                let delay = retry.failed(error)
                await state.exchangeBells[0].wait(upTo: delay)
            }
        }
        return false
    }

    /// Takes an identity.
    func register() async throws {
        let sent = BootInstant.now()
        let kinds = performers.keys.compactMap(queue.names.kind).sorted()
        let row = try await pool.execute(
            Statements.registerRunner, [.text(configuration.name), .int4Array(kinds)]
        ).first
        guard let workerID = try row?.decode(Int64.self) else {
            throw QueueError(.inconsistent, "registering a worker returned no id")
        }
        state.withLock {
            $0.workerID = workerID
            $0.lastBeat = sent
        }
    }

    private func leave() async {
        guard !Task.isCancelled else { return }
        let workerID = state.withLock { $0.workerID }
        do {
            try await foldCounts()
        } catch {
            logger.warning("the last counts of lanes are lost", metadata: ["error": "\(error)"])
        }
        do {
            try await pool.execute(Statements.unregister, [.int8(workerID)])
            logger.info("job runner left", metadata: ["worker": "\(workerID)"])
        } catch {
            logger.warning(
                "job runner could not take its leave; an observer will declare it dead",
                metadata: ["worker": "\(workerID)", "error": "\(error)"])
        }
    }
}

/// Backoff of a loop that needs the database, with one log line when trouble begins and one when it is over.
struct Retry {
    let logger: Logger
    let what: String
    private let backoff = Backoff(base: .milliseconds(100), cap: .seconds(2))
    private var failures = 0

    init(logger: Logger, what: String) {
        self.logger = logger
        self.what = what
    }

    /// How long to wait now.
    mutating func failed(_ error: any Error) -> Duration {
        failures += 1
        if failures == 1 { logger.warning("\(what)", metadata: ["error": "\(error)"]) }
        // Not full jitter: a loop must not spin on a draw near zero.
        return max(.milliseconds(20), backoff.delay(failures: failures))
    }

    mutating func succeeded() {
        if failures > 0 { logger.info("\(what): over", metadata: ["failures": "\(failures)"]) }
        failures = 0
    }
}
