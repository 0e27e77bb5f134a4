/// Whatever statements can be sent to: a pool, a connection, a transaction.
package protocol PostgresQuerying: Sendable {
    /// Sends `statement` and returns its rows. `timeout` nil means the statement timeout of the configuration.
    /// Throws `PostgresError`.
    @discardableResult
    func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], timeout: Duration?
    ) async throws -> PostgresRows
}

extension PostgresQuerying {
    /// Sends `statement` with the default time limit.
    @discardableResult
    package func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter] = []
    ) async throws -> PostgresRows {
        try await execute(statement, parameters, timeout: nil)
    }
}
