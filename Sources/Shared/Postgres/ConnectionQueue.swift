import Logging
import Pacing
import Synchronization

/// The connections of a pool, and who waits for one. A connection given back goes straight to the first in the line.
final class ConnectionQueue: Sendable {
    private struct Waiter {
        let number: UInt64
        let statement: String
        let deadline: Int64
        let continuation: CheckedContinuation<PostgresConnection, any Error>
    }
    private struct State {
        var all: [PostgresConnection] = []
        var idle: [PostgresConnection] = []
        /// In order; all wait equally long, so deadlines are in order too.
        var waiters: [Waiter] = []
        var lastWaiter: UInt64 = 0
        var isClosed = false
        /// Ends the waiting of those whose time is up; there is one while anybody waits.
        var timer: Task<Void, Never>?
        var drained: CheckedContinuation<Void, Never>?
        /// The grace of `close` is over.
        var graceEnded = false
    }
    private let state = Mutex(State())
    private let configuration: PostgresConfiguration
    private let logger: Logger

    init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// A connection for the caller alone, until `release`.
    func acquire(
        isolation: isolated (any Actor)? = #isolation, for statement: String
    ) async throws -> PostgresConnection {
        if Task.isCancelled { throw Self.cancelled(statement) }
        if let connection = try state.withLock({ try take(&$0, statement) }) { return connection }
        let number = state.withLock {
            $0.lastWaiter += 1
            return $0.lastWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                enqueue(
                    Waiter(
                        number: number, statement: statement,
                        deadline: monotonicNanoseconds() + configuration.acquireTimeout.nanoseconds,
                        continuation: continuation))
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(throwing: Self.cancelled(statement))
        }
    }

    func release(_ connection: PostgresConnection) {
        let (next, drained) = state.withLock { state -> (Waiter?, CheckedContinuation<Void, Never>?) in
            if !state.waiters.isEmpty { return (state.waiters.removeFirst(), nil) }
            state.idle.append(connection)
            guard state.isClosed, state.idle.count == state.all.count else { return (nil, nil) }
            defer { state.drained = nil }
            return (nil, state.drained)
        }
        next?.continuation.resume(returning: connection)
        drained?.resume()
    }

    func close(grace: Duration) async {
        let (waiters, timer) = state.withLock { state in
            state.isClosed = true
            defer {
                state.waiters = []
                state.timer = nil
            }
            return (state.waiters, state.timer)
        }
        timer?.cancel()
        for waiter in waiters { waiter.continuation.resume(throwing: Self.closed(waiter.statement)) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.whenDrained() }
            group.addTask {
                try? await Task.sleep(for: grace)
                self.endGrace()
            }
            await group.next()
            group.cancelAll()
            self.endGrace()
        }
        let all = state.withLock { $0.all }
        for connection in all { connection.interrupt() }
        for connection in all { await connection.close() }
    }

    // MARK: Parts

    private func take(_ state: inout State, _ statement: String) throws -> PostgresConnection? {
        if state.isClosed { throw Self.closed(statement) }
        // The one used last: its statements are in the server's caches, and the others may be left alone.
        if let connection = state.idle.popLast() { return connection }
        guard state.all.count < max(1, configuration.maximumConnections) else { return nil }
        let connection = PostgresConnection(configuration, logger: logger)
        state.all.append(connection)
        return connection
    }

    /// The cancellation is looked at under the lock: a handler that came before found no waiter, one that comes after
    /// finds it.
    private func enqueue(_ waiter: Waiter) {
        let outcome = state.withLock { state -> Result<PostgresConnection, any Error>? in
            if Task.isCancelled { return .failure(Self.cancelled(waiter.statement)) }
            do {
                if let connection = try take(&state, waiter.statement) { return .success(connection) }
            } catch { return .failure(error) }
            state.waiters.append(waiter)
            if state.timer == nil { state.timer = Task { await self.endOverdueWaits() } }
            return nil
        }
        if let outcome { waiter.continuation.resume(with: outcome) }
    }

    private func endOverdueWaits() async {
        while true {
            let now = monotonicNanoseconds()
            let (overdue, next) = state.withLock { state -> ([Waiter], Int64?) in
                let count = state.waiters.firstIndex { $0.deadline > now } ?? state.waiters.count
                let overdue = Array(state.waiters.prefix(count))
                state.waiters.removeFirst(count)
                if state.waiters.isEmpty { state.timer = nil }
                return (overdue, state.waiters.first?.deadline)
            }
            for waiter in overdue { waiter.continuation.resume(throwing: exhausted(waiter.statement)) }
            guard let next else { return }
            // Cancelled by `close`, which has ended all waits.
            do { try await Task.sleep(for: .nanoseconds(next - now)) } catch { return }
        }
    }

    private func whenDrained() async {
        await withCheckedContinuation { continuation in
            let done = state.withLock { state in
                if state.graceEnded || state.idle.count == state.all.count { return true }
                state.drained = continuation
                return false
            }
            if done { continuation.resume() }
        }
    }

    private func endGrace() {
        let continuation = state.withLock { state in
            state.graceEnded = true
            defer { state.drained = nil }
            return state.drained
        }
        continuation?.resume()
    }

    private func exhausted(_ statement: String) -> PostgresError {
        PostgresError(
            .poolExhausted, statement: statement,
            "no connection became free within \(configuration.acquireTimeout): all \(configuration.maximumConnections) "
                + "are in use",
            hint: "allow more connections, or look for transactions that take long")
    }

    private static func cancelled(_ statement: String) -> PostgresError {
        PostgresError(.cancelled, statement: statement, "the task was cancelled")
    }

    private static func closed(_ statement: String) -> PostgresError {
        PostgresError(.closed, statement: statement, "the pool was closed")
    }
}
