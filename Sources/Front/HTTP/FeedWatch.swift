import Logging
import Postgres
import ServiceLifecycle
import Store
import Synchronization

/// Lets calls wait for the next event of a feed. One look at the feeds' ends, five times a second and only while somebody
/// waits, serves all calls of this process, however many there are.
final class FeedWatch: Service, Sendable {
    private struct Waiter {
        let environmentID: Int64
        let position: Int64
        let deadline: ContinuousClock.Instant
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var waiters: [Int: Waiter] = [:]
        /// Calls whose task was cancelled before they waited.
        var cancelled: Set<Int> = []
        var next = 0
        var isOver = false
    }

    /// Calls that wait at once; one more is answered at once.
    private static let limit = 2000
    private static let pause = Duration.milliseconds(200)

    private let state = Mutex(State())
    private let pool: PostgresPool
    private let logger: Logger

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Waits until the feed goes beyond `position`.
    /// - Returns: false when it does not before the deadline, when too many wait, or when this process stops.
    func wait(environmentID: Int64, beyond position: Int64, until deadline: ContinuousClock.Instant) async -> Bool {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isRefused = state.withLock { state in
                    let wasCancelled = state.cancelled.remove(id) != nil
                    if wasCancelled || state.isOver || state.waiters.count >= Self.limit { return true }
                    state.waiters[id] = Waiter(
                        environmentID: environmentID, position: position, deadline: deadline,
                        continuation: continuation)
                    return false
                }
                if isRefused { continuation.resume(returning: false) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                let waiter = state.waiters.removeValue(forKey: id)
                if waiter == nil { state.cancelled.insert(id) }
                return waiter
            }
            waiter?.continuation.resume(returning: false)
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                await self.look()
            }
        }
        let left = state.withLock { state in
            state.isOver = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in left { waiter.continuation.resume(returning: false) }
    }

    private func look() async {
        let environments = state.withLock { state in Set(state.waiters.values.map(\.environmentID)) }
        if environments.isEmpty { return }
        var heads: [Int64: Int64] = [:]
        do {
            heads = try await Events.heads(environmentIDs: Array(environments), in: pool)
        } catch {
            logger.debug("feeds not read", metadata: ["error": "\(error)"])
        }
        let now = ContinuousClock.now
        let ready = state.withLock { state in
            let ready = state.waiters.filter { _, waiter in
                heads[waiter.environmentID, default: 0] > waiter.position || waiter.deadline <= now
            }
            for id in ready.keys { state.waiters[id] = nil }
            return ready.values.map { ($0.continuation, heads[$0.environmentID, default: 0] > $0.position) }
        }
        for (continuation, isThere) in ready { continuation.resume(returning: isThere) }
    }
}
