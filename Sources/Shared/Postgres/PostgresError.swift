/// What went wrong with the database. Never holds parameters or rows.
package struct PostgresError: Error, Sendable, Equatable {
    package enum Code: Sendable, Hashable {
        /// No connection could be made; nothing was sent.
        case unreachable
        /// The connection broke while a statement was under way: whether it took effect is unknown, unless it belonged
        /// to a transaction, which is then rolled back.
        case connectionLost
        /// The statement ran longer than allowed and was cancelled.
        case timedOut
        /// The calling task was cancelled.
        case cancelled
        /// The server refused the statement; `sqlState` says why.
        case server
        /// No connection became free within the acquire timeout.
        case poolExhausted
        /// A value has another type than the caller asked for.
        case decoding
        /// The pool or connection was closed.
        case closed
        /// The answer to `COMMIT` was lost: the transaction is either fully committed or not at all.
        case commitUnknown
        /// The caller broke a rule of this module; the message says which.
        case misuse
    }

    package let code: Code
    /// The five characters of SQLSTATE, or empty when the server did not answer (manual, "PostgreSQL Error Codes").
    package let sqlState: String
    /// The name of the statement, or of what was being done.
    package let statement: String
    package let message: String
    /// The constraint that was violated.
    package let constraint: String?
    package let hint: String?

    package init(
        _ code: Code, statement: String, _ message: String, sqlState: String = "", constraint: String? = nil,
        hint: String? = nil
    ) {
        self.code = code
        self.statement = statement
        self.message = message
        self.sqlState = sqlState
        self.constraint = constraint
        self.hint = hint
    }

    /// Whether doing the same again later may succeed. A lost connection leaves open whether the first try took effect,
    /// so the caller must be able to do it twice.
    package var isRetryable: Bool {
        switch code {
        case .unreachable, .connectionLost, .poolExhausted: true
        case .server:
            // serialization failure, deadlock, lock not available; operator intervention; insufficient resources
            sqlState == "40001" || sqlState == "40P01" || sqlState == "55P03" || sqlState.hasPrefix("57P0")
                || sqlState.hasPrefix("53")
        case .timedOut, .cancelled, .decoding, .closed, .commitUnknown, .misuse: false
        }
    }
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        var text = "\(statement): \(message)"
        if !sqlState.isEmpty { text += " (SQLSTATE \(sqlState))" }
        if let hint { text += "; hint: \(hint)" }
        return text
    }
}
