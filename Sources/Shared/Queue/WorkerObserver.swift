import Logging
import Pacing
import Postgres
import ServiceLifecycle
import Synchronization

/// How a `WorkerObserver` watches. The defaults are the rule; tests shorten them.
package struct WorkerObserverConfiguration: Sendable {
    package var name = "observer"
    /// How long a beat must stand still.
    package var patience: Duration = .seconds(20)
    /// The most time between two readings; a longer gap starts all over.
    package var gap: Duration = .seconds(2)
    /// Time between two readings.
    package var interval: Duration = .milliseconds(900)

    package init() {}
}

/// Declares workers dead whose beat it saw stand still, and rescues what they held. Any number may run; they also watch
/// each other.
///
/// May be wrong about a worker that is alive and cannot reach the database for the patience: that worker finds out at its
/// next beat, and its settles change nothing.
package final class WorkerObserver: Service {
    private struct State {
        var workerID: Int64?
        var tracker: LivenessTracker
    }

    private let pool: PostgresPool
    private let maintenance: QueueMaintenance
    private let configuration: WorkerObserverConfiguration
    private let logger: Logger
    private let state: Mutex<State>
    private let stopBell = Bell()

    package init(
        pool: PostgresPool, configuration: WorkerObserverConfiguration = WorkerObserverConfiguration(), logger: Logger
    ) {
        self.pool = pool
        self.configuration = configuration
        self.logger = logger
        maintenance = QueueMaintenance(pool: pool, logger: logger)
        state = Mutex(
            State(tracker: LivenessTracker(patience: configuration.patience, gap: configuration.gap)))
    }

    /// Observes and rescues until graceful shutdown or cancellation.
    package func run() async throws {
        let stopping = Mutex(false)
        await withGracefulShutdownHandler {
            var retry = Retry(logger: logger, what: "workers cannot be observed")
            while !Task.isCancelled, !stopping.withLock({ $0 }) {
                let began = BootInstant.now()
                do {
                    try await observe()
                    while try await maintenance.rescue() > 0 {}
                    retry.succeeded()
                    await stopBell.wait(upTo: configuration.interval - began.duration(to: .now()))
                } catch {
                    if Task.isCancelled { return }
                    await stopBell.wait(upTo: min(retry.failed(error), configuration.interval))
                }
            }
            await leave()
        } onGracefulShutdown: {
            stopping.withLock { $0 = true }
            self.stopBell.ring()
        }
    }

    /// One reading: beats, reads everyone's beat, and declares dead who stood still for long enough. Returns them. Must
    /// not be called by two tasks at once.
    @discardableResult
    package func observe() async throws -> [Int64] {
        do {
            return try await read()
        } catch {
            state.withLock { $0.tracker.startOver() }
            throw error
        }
    }

    private func read() async throws -> [Int64] {
        guard let own = state.withLock({ $0.workerID }) else {
            let row = try await pool.execute(Statements.register, [.text(configuration.name)]).first
            let workerID = try row?.decode(Int64.self)
            state.withLock {
                $0.workerID = workerID
                $0.tracker.startOver()
            }
            return []
        }
        let sent = BootInstant.now()
        let rows = try await pool.execute(Statements.observe, [.int8(own)], timeout: configuration.gap)
        let answered = BootInstant.now()
        var beats: [Int64: Int64] = [:]
        var server: String?
        for row in rows {
            let (workerID, beat, name) = try row.decode(Int64.self, Int64.self, String.self)
            server = name
            if workerID != own { beats[workerID] = beat }
        }
        guard let server else {
            // Our own beat did not go through: we were declared dead.
            state.withLock { $0.workerID = nil }
            return []
        }
        let reading = LivenessTracker.Reading(sent: sent, answered: answered, server: server, beats: beats)
        var dead: [Int64] = []
        for verdict in state.withLock({ $0.tracker.take(reading) }) {
            // Compare and set: one that has beaten since is alive.
            let rows = try await pool.execute(
                Statements.declareDead, [.int8(verdict.workerID), .int8(verdict.beat)])
            guard !rows.isEmpty else { continue }
            dead.append(verdict.workerID)
            logger.warning(
                "worker declared dead: its beat stood still for \(configuration.patience)",
                metadata: ["worker": "\(verdict.workerID)"])
        }
        return dead
    }

    private func leave() async {
        guard !Task.isCancelled, let workerID = state.withLock({ $0.workerID }) else { return }
        _ = try? await pool.execute(Statements.unregister, [.int8(workerID)])
    }
}
