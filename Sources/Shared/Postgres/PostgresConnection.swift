import CLibPQ
import Logging
import Synchronization

/// One connection, opened at its first use and again whenever it was lost. Its work blocks a thread of its own.
///
/// A statement runs to its end before the next begins. Whoever needs several statements without others between them takes
/// a connection from the pool (`withConnection`) or a transaction.
package actor PostgresConnection: PostgresQuerying {
    private let thread: ConnectionThread
    private let session: Session
    private nonisolated let interrupter: Interrupter
    private nonisolated let configuration: PostgresConfiguration
    /// The transaction or COPY that has the connection to itself.
    private var exclusiveUse: UInt64?
    private var lastUse: UInt64 = 0

    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    package init(_ configuration: PostgresConfiguration, logger: Logger) {
        thread = ConnectionThread()
        interrupter = Interrupter()
        session = Session(configuration, interrupter: interrupter, logger: logger)
        self.configuration = configuration
    }

    deinit { thread.stop() }

    /// The server session, unique in this process; it changes when the connection is made anew. 0 before the first.
    package var sessionNumber: UInt64 { session.number }

    @discardableResult
    package func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows {
        try await execute(statement, parameters, timeout: timeout, use: nil)
    }

    /// Sends all statements in one round trip; they are one transaction, undone by the first error, which is thrown.
    package func pipeline(_ batch: [(PostgresStatement, [PostgresParameter])]) async throws -> [PostgresRows] {
        try await pipeline(batch, use: nil)
    }

    /// Runs SQL of several statements without parameters, such as a migration; outside a transaction they are one.
    /// The server's way of splitting statements applies (simple query protocol).
    package func executeScript(_ statement: PostgresStatement, timeout: Duration? = nil) async throws {
        try await executeScript(statement, timeout: timeout, use: nil)
    }

    /// Ends the server session; every later use throws `closed`. A statement under way is given up.
    package nonisolated func close() async {
        interrupter.close()
        await finish()
    }

    /// Gives up the statement under way, and every later one.
    nonisolated func interrupt() { interrupter.close() }

    private func finish() { session.drop() }

    // MARK: For transactions and the pool

    func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?, use: UInt64?
    ) async throws -> PostgresRows {
        try await perform(statement.name, use) { session throws(PostgresError) in
            try session.execute(statement, parameters, within: timeout ?? session.configuration.statementTimeout)
        }
    }

    /// As `execute`, for one statement of the pool's: makes sure that it leaves no transaction open.
    func executeOnce(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows {
        try await perform(statement.name, nil) { session throws(PostgresError) in
            defer { if session.transactionStatus != PQTRANS_IDLE { session.drop() } }
            return try session.execute(statement, parameters, within: timeout ?? session.configuration.statementTimeout)
        }
    }

    func pipeline(
        _ batch: [(PostgresStatement, [PostgresParameter])], use: UInt64?
    ) async throws -> [PostgresRows] {
        try await perform("pipeline", use) { session throws(PostgresError) in
            try session.pipeline(batch, within: session.configuration.statementTimeout)
        }
    }

    func executeScript(_ statement: PostgresStatement, timeout: Duration?, use: UInt64?) async throws {
        try await perform(statement.name, use) { session throws(PostgresError) in
            _ = try session.executeScript(statement, within: timeout ?? session.configuration.statementTimeout)
        }
    }

    func begin() async throws -> UInt64 {
        _ = try await perform("begin transaction", nil) { session throws(PostgresError) in
            try session.executeScript(
                PostgresStatement("begin transaction", "BEGIN"), within: session.configuration.statementTimeout)
        }
        return takeExclusively()
    }

    /// Not interrupted by a cancelled task: its answer must be known.
    func commit(_ use: UInt64) throws(PostgresError) {
        try shielded("commit transaction", use) { session throws(PostgresError) in
            guard session.isOpen else { throw session.lost("the connection was lost before the commit was sent") }
            let tag: String
            do throws(PostgresError) {
                tag = try session.executeScript(
                    PostgresStatement("commit transaction", "COMMIT"), within: session.configuration.statementTimeout)
            } catch {
                if error.code == .server { throw error }
                throw PostgresError(
                    .commitUnknown, statement: error.statement,
                    "the answer to COMMIT was lost, so the transaction is committed wholly or not at all: \(error.message)",
                    sqlState: error.sqlState, hint: "look whether its changes are there before doing it again")
            }
            // The server answers COMMIT of a failed transaction with this tag, not with an error.
            if tag == "ROLLBACK" {
                throw PostgresError(
                    .server, statement: "commit transaction",
                    "rolled back, because a statement in the transaction had failed", sqlState: "25P02",
                    hint: "let the error of the failed statement leave the transaction's closure")
            }
        }
    }

    /// Not interrupted by a cancelled task. When it fails the connection is dropped, which rolls back as well.
    func rollback(_ use: UInt64) {
        try? shielded("roll back transaction", use) { session throws(PostgresError) in
            guard session.isOpen else { return }
            do throws(PostgresError) {
                _ = try session.executeScript(
                    PostgresStatement("roll back transaction", "ROLLBACK"), within: .seconds(5))
            } catch {
                session.drop()
                throw error
            }
        }
    }

    func copyStart(_ sql: String, use: UInt64?) async throws -> UInt64 {
        try await perform("copy", use) { session throws(PostgresError) in
            try session.copyStart(sql, within: session.configuration.statementTimeout)
        }
        return takeExclusively()
    }

    func copyData(_ bytes: [UInt8], use: UInt64) async throws {
        try await perform("copy", use) { session throws(PostgresError) in
            try session.copyData(bytes, within: session.configuration.statementTimeout)
        }
    }

    /// Gives the connection back to `outer` and returns the number of rows.
    func copyEnd(error message: String?, use: UInt64, outer: UInt64?) async throws -> Int {
        defer { exclusiveUse = outer }
        if message != nil {
            return try shielded("copy", use, thenFor: outer) { session throws(PostgresError) in
                try session.copyEnd(error: message, within: .seconds(5))
            }
        }
        return try await perform("copy", use) { session throws(PostgresError) in
            try session.copyEnd(error: nil, within: session.configuration.statementTimeout)
        }
    }

    /// Makes the connection fit for its next user: one left in a transaction or COPY is dropped.
    func reset() {
        exclusiveUse = nil
        if session.handle != nil, session.transactionStatus != PQTRANS_IDLE { session.drop() }
    }

    // MARK: Exchanges

    private func takeExclusively() -> UInt64 {
        lastUse += 1
        exclusiveUse = lastUse
        return lastUse
    }

    private func admit(_ statement: String, _ use: UInt64?) throws(PostgresError) {
        if use == exclusiveUse { return }
        throw PostgresError(
            .misuse, statement: statement,
            use == nil
                ? "the connection is in a transaction or COPY; use that"
                : "the transaction is over or busy with a COPY; it is valid only inside its closure")
    }

    /// Runs `body` on the connection's thread; cancelling the task ends it. The ticket is drawn and the cancellation looked
    /// at within one synchronous stretch, so that none is missed and none hits another exchange.
    private func perform<Result: Sendable>(
        _ statement: String, _ use: UInt64?, _ body: (Session) throws(PostgresError) -> Result
    ) async throws -> Result {
        let ticket = interrupter.ticket()
        return try await withTaskCancellationHandler {
            try admit(statement, use)
            let signals = interrupter.begin(ticket)
            defer { interrupter.end() }
            if signals.isClosed { throw PostgresError(.closed, statement: statement, "the connection was closed") }
            if Task.isCancelled { throw PostgresError(.cancelled, statement: statement, "the task was cancelled") }
            return try body(session)
        } onCancel: {
            interrupter.cancel(ticket)
        }
    }

    /// Runs `body` whether or not the task is cancelled, and ends the exclusive use.
    private func shielded<Result>(
        _ statement: String, _ use: UInt64, thenFor outer: UInt64? = nil,
        _ body: (Session) throws(PostgresError) -> Result
    ) throws(PostgresError) -> Result {
        try admit(statement, use)
        exclusiveUse = outer
        let signals = interrupter.begin(interrupter.ticket())
        defer { interrupter.end() }
        if signals.isClosed { session.drop() }
        return try body(session)
    }
}
