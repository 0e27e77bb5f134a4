import Synchronization

/// Puts statements of many tasks into common pipelines: one round trip, one transaction and one flush of the log for what
/// came together. For short statements that belong to nobody else's transaction and touch rows of their own.
///
/// While nothing is under way a statement leaves at once and alone. What comes meanwhile leaves together when a pipeline
/// has ended, so that batches grow with the load and nobody waits for a timer.
///
/// The tasks stay independent: a refused batch has done nothing, and each of its parts is then run by itself. A row that
/// somebody else has locked delays the others of its batch by ``lockPatience`` at most. Cancelling a task does not take its
/// part back.
package final class SharedPipeline: PostgresQuerying {
    package typealias Part = [(PostgresStatement, [PostgresParameter])]

    private struct Waiting {
        let part: Part
        let continuation: CheckedContinuation<[PostgresRows], any Error>
    }

    private struct State {
        var waiting: [Waiting] = []
        var running = 0
    }

    /// How long a statement of a common pipeline waits for a row that is locked.
    package static let lockPatience: Duration = .milliseconds(250)

    private static let limitLockWaits = PostgresStatement(
        "limit lock waits of a pipeline", "select set_config('lock_timeout', '250ms', true)")

    private let pool: PostgresPool
    private let width: Int
    private let size: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - width: pipelines at a time, each on a connection of the pool.
    ///   - size: parts of one pipeline.
    package init(pool: PostgresPool, width: Int = 2, size: Int = 64) {
        self.pool = pool
        self.width = width
        self.size = size
    }

    /// As `PostgresPool.execute`; one with a time limit of its own goes alone.
    @discardableResult
    package func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows {
        guard timeout == nil else { return try await pool.execute(statement, parameters, timeout: timeout) }
        guard let rows = try await pipeline([(statement, parameters)]).first else {
            throw PostgresError(.misuse, statement: statement.name, "a pipeline answered nothing")
        }
        return rows
    }

    /// As `PostgresPool.pipeline`: all of a part takes effect, or nothing of it.
    package func pipeline(_ part: Part) async throws -> [PostgresRows] {
        try await withCheckedThrowingContinuation { continuation in
            let isFirst = state.withLock { state in
                state.waiting.append(Waiting(part: part, continuation: continuation))
                guard state.running < width else { return false }
                state.running += 1
                return true
            }
            // A task of its own: it carries other tasks' statements, which must not end with this one.
            if isFirst { Task { await drain() } }
        }
    }

    private func drain() async {
        while true {
            let taken = state.withLock { state in
                let taken = Array(state.waiting.prefix(size))
                state.waiting.removeFirst(taken.count)
                if taken.isEmpty { state.running -= 1 }
                return taken
            }
            if taken.isEmpty { return }
            await run(taken)
        }
    }

    private func run(_ taken: [Waiting]) async {
        guard taken.count > 1 else { return await runAlone(taken[0]) }
        do {
            var rows = try await pool.pipeline([(Self.limitLockWaits, [])] + taken.flatMap(\.part))[...]
            rows.removeFirst()
            for one in taken {
                one.continuation.resume(returning: Array(rows.prefix(one.part.count)))
                rows.removeFirst(one.part.count)
            }
        } catch let error as PostgresError where error.code == .server {
            await withTaskGroup(of: Void.self) { group in
                for one in taken { group.addTask { await self.runAlone(one) } }
            }
        } catch {
            // Whether it took effect is unknown, as for a single statement.
            for one in taken { one.continuation.resume(throwing: error) }
        }
    }

    private func runAlone(_ one: Waiting) async {
        do {
            if one.part.count == 1 {
                let (statement, parameters) = one.part[0]
                one.continuation.resume(returning: [try await pool.execute(statement, parameters)])
            } else {
                one.continuation.resume(returning: try await pool.pipeline(one.part))
            }
        } catch {
            one.continuation.resume(throwing: error)
        }
    }
}
