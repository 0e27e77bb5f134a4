import Logging
import Pacing
import Postgres
import Synchronization

/// Tells idle runners that a lane has filled, so that they need not wait for their next poll. Sent by NOTIFY after the
/// enqueue has committed, never inside it: a commit that notifies waits for every other that does (PostgreSQL manual,
/// NOTIFY, Notes). Only speed depends on it: runners poll all the same.
final class WakeUp: Sendable {
    static let channel = "evergrant_jobs"

    private struct State {
        var isSending = false
        var isWanted = false
        /// Notifications that may be sent at once, as of `counted`.
        var allowed = WakeUp.burst
        var counted = BootInstant.now()
    }

    /// A busy queue whose lanes are nearly empty fills one many times a second: beyond these nobody is notified, and runners
    /// see the jobs at their next look, 20 to 50 ms later at most.
    private static let burst = 20.0
    private static let perSecond = 100.0

    private let pool: PostgresPool
    private let logger: Logger
    private let state = Mutex(State())

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Where jobs were put, and the first of them there.
    struct Edge: Sendable {
        let lane: Lane
        let firstID: Int64
    }

    /// Notifies if one of the lanes had nothing waiting shortly before these jobs, for a filled lane is being worked on;
    /// without lanes, in any case. Calls that come while one is under way are answered by one more, together.
    func jobsCame(_ edges: [Edge] = []) async {
        guard begin() else { return }
        await send(edges)
        while goesOn() { await send([]) }
    }

    private func begin() -> Bool {
        state.withLock { state in
            if state.isSending {
                state.isWanted = true
                return false
            }
            let now = BootInstant.now()
            let refill = state.counted.duration(to: now).seconds * Self.perSecond
            state.allowed = min(Self.burst, state.allowed + refill)
            state.counted = now
            guard state.allowed >= 1 else { return false }
            state.allowed -= 1
            state.isSending = true
            return true
        }
    }

    /// Whether another call came meanwhile; then one more is sent for all of them.
    private func goesOn() -> Bool {
        state.withLock { state in
            defer { state.isWanted = false }
            if !state.isWanted { state.isSending = false }
            return state.isWanted
        }
    }

    private func send(_ edges: [Edge]) async {
        do {
            try await pool.execute(
                Statements.notify,
                [
                    .text(Self.channel), .int4Array(edges.map(\.lane.queue)), .int2Array(edges.map(\.lane.priority)),
                    .int8Array(edges.map(\.firstID)),
                ], timeout: .seconds(2))
        } catch {
            logger.debug("runners could not be notified; they will poll", metadata: ["error": "\(error)"])
        }
    }
}
