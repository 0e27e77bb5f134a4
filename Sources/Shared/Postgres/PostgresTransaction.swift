/// A transaction under way, valid only inside the closure it was given to; afterwards every use throws `misuse`.
package struct PostgresTransaction: PostgresQuerying {
    let connection: PostgresConnection
    let use: UInt64

    @discardableResult
    package func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows {
        try await connection.execute(statement, parameters, timeout: timeout, use: use)
    }

    /// Sends all statements in one round trip; the first error ends the transaction.
    package func pipeline(_ batch: [(PostgresStatement, [PostgresParameter])]) async throws -> [PostgresRows] {
        try await connection.pipeline(batch, use: use)
    }

    /// Runs SQL of several statements without parameters.
    package func executeScript(_ statement: PostgresStatement, timeout: Duration? = nil) async throws {
        try await connection.executeScript(statement, timeout: timeout, use: use)
    }

    /// Copies `chunks` into a table: `sql` is `COPY … FROM STDIN`. Returns the number of rows.
    package func copyIn(_ sql: String, _ chunks: [[UInt8]]) async throws -> Int {
        try await connection.copyIn(sql, Chunks(chunks), use: use)
    }
}
