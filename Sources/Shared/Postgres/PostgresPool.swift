import Logging
import Synchronization

/// Shares a bounded number of connections among any number of tasks. A task has a connection to itself while it uses it;
/// others wait in order, up to the acquire timeout. Connections are opened at first use and kept.
package final class PostgresPool: PostgresQuerying, Sendable {
    package let configuration: PostgresConfiguration
    private let logger: Logger
    let connections: ConnectionQueue
    private let listeners = Mutex<[NotificationListener]>([])

    package init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        connections = ConnectionQueue(configuration, logger: logger)
    }

    deinit { for listener in listeners.withLock({ $0 }) { listener.stop() } }

    @discardableResult
    package func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows {
        let connection = try await connections.acquire(for: statement.name)
        defer { connections.release(connection) }
        return try await connection.execute(statement, parameters, timeout: timeout, use: nil, once: true)
    }

    /// Sends all statements in one round trip; they are one transaction, undone by the first error, which is thrown.
    package func pipeline(_ batch: [(PostgresStatement, [PostgresParameter])]) async throws -> [PostgresRows] {
        let connection = try await connections.acquire(for: "pipeline")
        defer { connections.release(connection) }
        return try await connection.pipeline(batch, use: nil, once: true)
    }

    /// Runs SQL of several statements without parameters, such as a migration; they are one transaction.
    package func executeScript(_ statement: PostgresStatement, timeout: Duration? = nil) async throws {
        try await withConnection { try await $0.executeScript(statement, timeout: timeout) }
    }

    /// Lends a connection to `body` alone. What `body` leaves behind in the session (settings, advisory locks) stays;
    /// an open transaction does not. The connection must not be used after `body` has returned.
    package func withConnection<T: Sendable>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        let connection = try await connections.acquire(for: "take a connection")
        do {
            let result = try await body(connection)
            await connection.reset()
            connections.release(connection)
            return result
        } catch {
            await connection.reset()
            connections.release(connection)
            throw error
        }
    }

    /// Runs `body` in a transaction (`BEGIN`, read committed unless the settings say otherwise): committed when it returns,
    /// rolled back when it throws or when the task was cancelled before `COMMIT` was sent. Throws what `body` throws, or
    /// `PostgresError`, of which `commitUnknown` leaves the outcome open.
    package func transaction<T: Sendable>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        let connection = try await connections.acquire(for: "begin transaction")
        defer { connections.release(connection) }
        return try await connection.transaction(body)
    }

    /// Copies `chunks` into a table: `sql` is `COPY … FROM STDIN`. Returns the number of rows. When `chunks` throws, nothing
    /// is copied and its error is thrown.
    package func copyIn<Chunks: AsyncSequence>(
        isolation: isolated (any Actor)? = #isolation, _ sql: String, _ chunks: Chunks
    ) async throws -> Int where Chunks.Element == [UInt8] {
        try await withConnection { try await $0.copyIn(sql, chunks) }
    }

    /// Copies `chunks` into a table.
    package func copyIn(_ sql: String, _ chunks: [[UInt8]]) async throws -> Int {
        try await withConnection { try await $0.copyIn(sql, chunks) }
    }

    /// What is notified on `channels`, for one reader, over a connection of its own outside the pool. The connection is
    /// made again whenever it is lost, which the stream tells. It ends when its reader does or the pool is closed.
    package func notifications(on channels: [String]) -> AsyncStream<PostgresNotification> {
        let (listener, stream) = NotificationListener.start(configuration, channels: channels, logger: logger)
        if connections.isClosed { listener.stop() } else { listeners.withLock { $0.append(listener) } }
        return stream
    }

    /// Refuses new work with `closed`, waits up to `grace` for work under way, then gives that up, and ends all sessions.
    package func close(grace: Duration = .seconds(5)) async {
        for listener in listeners.withLock({ $0 }) { listener.stop() }
        await connections.close(grace: grace)
    }

    /// As `close(grace:)` with five seconds.
    package func close() async { await close(grace: .seconds(5)) }
}
