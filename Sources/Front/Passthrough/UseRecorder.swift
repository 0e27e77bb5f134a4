import Foundation
import HTTPTypes
import Logging
import Postgres
import ServiceLifecycle
import Store
import Synchronization

/// Counts uses of credentials by connection, key and minute, and writes them each second: a durable commit a call would
/// cost more than the call. Also bounds the calls in flight per connection.
///
/// A process that is killed loses at most the last second's counts; a graceful stop loses none.
final class UseRecorder: Service, Sendable {
    private struct Slot: Hashable {
        let environmentID: Int64
        let connectionID: Int64
        let actor: String
        let minute: Int
    }

    private struct State {
        var counts: [Slot: Int64] = [:]
        var lastUsed: [Int64: Date] = [:]
        var inFlight: [Int64: Int] = [:]
    }

    private let state = Mutex(State())
    private let pool: PostgresPool
    private let logger: Logger
    private let limit: Int

    init(pool: PostgresPool, callsPerConnection limit: Int, logger: Logger) {
        self.pool = pool
        self.limit = limit
        self.logger = logger
    }

    /// Takes a place among the calls of a connection. Every success is followed by ``leave(_:)``.
    func enter(_ connectionID: Int64) throws(HTTPProblem) {
        let isFree = state.withLock { state in
            let now = state.inFlight[connectionID, default: 0]
            guard now < limit else { return false }
            state.inFlight[connectionID] = now + 1
            return true
        }
        guard isFree else {
            var problem = HTTPProblem(
                .tooManyRequests, "too_many_calls", "This connection has \(limit) calls in flight.",
                hint: "wait for some to end")
            problem.isRetryable = true
            problem.retryAfter = 1
            throw problem
        }
    }

    func leave(_ connectionID: Int64) {
        state.withLock { state in
            let left = state.inFlight[connectionID, default: 1] - 1
            state.inFlight[connectionID] = left > 0 ? left : nil
        }
    }

    func record(_ connection: ConnectionRecord, actor: String) {
        let now = Date()
        let slot = Slot(
            environmentID: connection.environmentID, connectionID: connection.id, actor: actor,
            minute: Int(now.timeIntervalSince1970 / 60))
        state.withLock { state in
            state.counts[slot, default: 0] += 1
            state.lastUsed[connection.id] = now
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                if Task.isCancelled { break }
                await self.flush()
            }
        }
        // The last second's counts are written although the service is being cancelled.
        await Task { await flush() }.value
    }

    func flush() async {
        let (counts, lastUsed) = state.withLock { state in
            defer {
                state.counts = [:]
                state.lastUsed = [:]
            }
            return (state.counts, state.lastUsed)
        }
        guard !counts.isEmpty else { return }
        do {
            try await Connections.touchUsed(lastUsed, in: pool)
            let lines = counts.map { slot, count in
                Audit.entry(
                    environmentID: slot.environmentID, actor: slot.actor, action: "passthrough",
                    connectionID: slot.connectionID, count: count,
                    details: Array(#"{"minute":\#(slot.minute * 60)}"#.utf8))
            }
            for start in stride(from: 0, to: lines.count, by: 500) {
                _ = try await pool.pipeline(Array(lines[start..<min(start + 500, lines.count)]))
            }
        } catch {
            logger.warning(
                "uses not recorded", metadata: ["error": "\(error)", "calls": "\(counts.values.reduce(0, +))"])
        }
    }
}
