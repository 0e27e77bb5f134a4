import CLibPQ

extension PostgresError {
    /// The server has forgotten the prepared statement, or the plan no longer fits the tables ("cached plan must not change
    /// result type").
    var isOfPreparation: Bool { sqlState == "26000" || sqlState == "0A000" }
}

extension Session {
    func failure(_ code: PostgresError.Code, _ message: String, hint: String? = nil) -> PostgresError {
        PostgresError(code, statement: statement, message, hint: hint)
    }

    /// Drops the connection, keeping its last words.
    func lost(_ message: String? = nil) -> PostgresError {
        let words = message ?? handle.map { String(cString: PQerrorMessage($0)).oneLine } ?? ""
        drop()
        return failure(.connectionLost, words.isEmpty ? "the connection to the database was lost" : words)
    }

    func stopped(_ addition: String) -> PostgresError {
        let what = stop == .timedOut ? "timed out" : "the task was cancelled"
        return failure(stop == .timedOut ? .timedOut : .cancelled, addition.isEmpty ? what : "\(what), \(addition)")
    }

    /// The error a failed result stands for. The server's answer to our own cancel request is a time-out or a
    /// cancellation.
    func failure(_ result: OpaquePointer, statement: String) -> PostgresError {
        let message = ServerMessage(result)
        if message.sqlState == "57014", stop != .no {
            return PostgresError(
                stop == .timedOut ? .timedOut : .cancelled, statement: statement,
                stop == .timedOut ? "timed out" : "the task was cancelled", sqlState: message.sqlState)
        }
        return PostgresError(
            message.sqlState.isEmpty ? .connectionLost : .server, statement: statement, message.text,
            sqlState: message.sqlState, constraint: message.constraint, hint: message.hint)
    }

    /// `error`, as the loss of the connection when it was that.
    func afterLoss(_ error: PostgresError?) -> PostgresError {
        guard let error else { return lost() }
        drop()
        if error.code != .server { return error }
        return PostgresError(
            .connectionLost, statement: error.statement, error.message, sqlState: error.sqlState, hint: error.hint)
    }
}
