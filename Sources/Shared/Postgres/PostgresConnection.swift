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

    /// `use` is the transaction that asks, nil for none. `once` is for the pool, which lends the connection for this one
    /// statement: it must not leave a transaction open.
    func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?, use: UInt64?,
        once: Bool = false
    ) async throws -> PostgresRows {
        try await perform(statement.name, use, once: once) { session throws(PostgresError) in
            try session.execute(statement, parameters, within: timeout ?? session.configuration.statementTimeout)
        }
    }

    func pipeline(
        _ batch: [(PostgresStatement, [PostgresParameter])], use: UInt64?, once: Bool = false
    ) async throws -> [PostgresRows] {
        try await perform("pipeline", use, once: once) { session throws(PostgresError) in
            try session.pipeline(batch, within: session.configuration.statementTimeout)
        }
    }

    func executeScript(_ statement: PostgresStatement, timeout: Duration?, use: UInt64?) async throws {
        try await perform(statement.name, use) { session throws(PostgresError) in
            try session.executeScript(statement, within: timeout ?? session.configuration.statementTimeout)
        }
    }

    /// Begins a transaction; the server hears of it with the first statement.
    func begin() throws(PostgresError) -> UInt64 {
        try admit("begin transaction", nil)
        lastUse += 1
        exclusiveUse = lastUse
        session.owesBegin = true
        return lastUse
    }

    /// Not interrupted by a cancelled task: its answer must be known.
    func commit(_ use: UInt64) throws(PostgresError) {
        try shielded("commit transaction", use) { session throws(PostgresError) in try session.commit() }
    }

    /// Not interrupted by a cancelled task. When it fails the connection is dropped, which rolls back as well.
    func rollback(_ use: UInt64) {
        try? shielded("roll back transaction", use) { session throws(PostgresError) in
            guard session.isOpen, !session.owesBegin else { return }
            do throws(PostgresError) {
                try session.executeScript(
                    PostgresStatement("roll back transaction", "ROLLBACK"), within: .seconds(5))
            } catch {
                session.drop()
                throw error
            }
        }
    }

    func copyStart(_ sql: String, use: UInt64?) async throws -> UInt64 {
        try await perform("copy", use, takes: true) { session throws(PostgresError) in
            try session.copyStart(sql, within: session.configuration.statementTimeout)
        }
        return lastUse
    }

    func copyData(_ bytes: [UInt8], use: UInt64) async throws {
        try await perform("copy", use) { session throws(PostgresError) in
            try session.copyData(bytes, within: session.configuration.statementTimeout)
        }
    }

    /// Ends the COPY, gives the connection back to `outer`, and returns the number of rows.
    func copyEnd(use: UInt64, outer: UInt64?) async throws -> Int {
        let rows = try await perform("copy", use) { session throws(PostgresError) in
            try session.copyEnd(error: nil, within: session.configuration.statementTimeout)
        }
        setExclusive(outer)
        return rows
    }

    /// Gives the COPY up, also in a cancelled task.
    func copyAbandon(use: UInt64, outer: UInt64?) {
        try? shielded("copy", use, thenFor: outer) { session throws(PostgresError) in
            guard session.isOpen, session.transactionStatus == PQTRANS_ACTIVE else { return }
            _ = try session.copyEnd(error: "given up by the client", within: .seconds(5))
        }
    }

    /// Makes the connection fit for its next user: one left in a transaction or COPY is dropped.
    func reset() {
        setExclusive(nil)
        if session.handle != nil, session.transactionStatus != PQTRANS_IDLE { session.drop() }
    }

    // MARK: Exchanges

    private func setExclusive(_ use: UInt64?) {
        exclusiveUse = use
        session.isPinned = use != nil
        if use == nil { session.owesBegin = false }
    }

    private func admit(_ statement: String, _ use: UInt64?) throws(PostgresError) {
        if use == exclusiveUse { return }
        throw PostgresError(
            .misuse, statement: statement,
            use == nil
                ? "the connection is in a transaction or COPY; use that"
                : "the transaction is over or busy with a COPY; it is valid only inside its closure")
    }

    /// Runs `body` on the connection's thread; cancelling the task ends it. `takes` begins an exclusive use, `lastUse`.
    ///
    /// The ticket begins and the cancellation is looked at within one synchronous stretch, so that no cancellation is
    /// missed and none hits another exchange.
    private func perform<Result: Sendable>(
        _ statement: String, _ use: UInt64?, once: Bool = false, takes: Bool = false,
        _ body: (Session) throws(PostgresError) -> Result
    ) async throws -> Result {
        let ticket = interrupter.ticket()
        return try await withTaskCancellationHandler {
            try admit(statement, use)
            let signals = interrupter.begin(ticket)
            defer { interrupter.end() }
            if signals.isClosed { throw PostgresError(.closed, statement: statement, "the connection was closed") }
            if Task.isCancelled { throw PostgresError(.cancelled, statement: statement, "the task was cancelled") }
            defer { if once, session.transactionStatus != PQTRANS_IDLE { session.drop() } }
            let result = try body(session)
            if takes {
                lastUse += 1
                setExclusive(lastUse)
            }
            return result
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
        defer { setExclusive(outer) }
        let signals = interrupter.begin(interrupter.ticket())
        defer { interrupter.end() }
        if signals.isClosed { session.drop() }
        return try body(session)
    }
}
