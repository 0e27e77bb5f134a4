import CLibPQ

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension Session {
    /// Sends one statement and returns its rows.
    func execute(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], within limit: Duration
    ) throws(PostgresError) -> PostgresRows {
        if owesBegin {
            guard let rows = try pipeline([(statement, parameters)], within: limit).first else { throw lost() }
            return rows
        }
        begin(statement.name, within: limit)
        let handle = try open()
        begin(statement.name, within: limit)
        guard configuration.preparesStatements else {
            try encode(parameters)
            try send(statement, on: handle, prepared: nil)
            return try collect(handle, statement: statement.name)
        }
        return try executePrepared(statement, parameters, handle, mayRetry: true)
    }

    /// Prepares at first use. When the server has forgotten the statement (`DISCARD ALL`, a pooler), or its plan no longer
    /// fits the tables, nothing was done yet, so outside a transaction it is prepared anew and sent again.
    private func executePrepared(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter], _ handle: OpaquePointer, mayRetry: Bool
    ) throws(PostgresError) -> PostgresRows {
        try encode(parameters)
        let entry = try prepare(statement, handle)
        try send(statement, on: handle, prepared: entry)
        do {
            return try collect(handle, statement: statement.name)
        } catch {
            guard let entry, error.isOfPreparation else { throw error }
            prepared.remove(entry, of: statement)
            guard mayRetry, isOpen, transactionStatus == PQTRANS_IDLE else { throw error }
            return try executePrepared(statement, parameters, handle, mayRetry: false)
        }
    }

    /// The entry for the parameters in the encoder; nil when the session holds too many.
    private func prepare(
        _ statement: PostgresStatement, _ handle: OpaquePointer
    ) throws(PostgresError) -> PreparedStatements.Entry? {
        if let entry = prepared.find(statement, encoder.types) { return entry }
        if prepared.isFull { return nil }
        let entry = prepared.add(statement, encoder.types)
        do {
            try sendPrepare(entry, on: handle)
            _ = try collect(handle, statement: statement.name)
        } catch {
            prepared.remove(entry, of: statement)
            throw error
        }
        return entry
    }

    func sendPrepare(_ entry: PreparedStatements.Entry, on handle: OpaquePointer) throws(PostgresError) {
        let sent = PQsendPrepare(handle, entry.serverName, entry.sql, Int32(entry.types.count), entry.types)
        guard sent == 1 else { throw refused(handle) }
        try flush(handle)
    }

    /// Puts the parameters of the statement under way into the encoder.
    func encode(_ parameters: [PostgresParameter]) throws(PostgresError) {
        encoder.encode(parameters)
        guard encoder.count <= ParameterEncoder.maximumCount else {
            throw failure(
                .misuse, "\(encoder.count) parameters, but the protocol allows \(ParameterEncoder.maximumCount)",
                hint: "pass arrays and use unnest")
        }
        guard encoder.size <= ParameterEncoder.maximumSize else {
            throw failure(.misuse, "the parameters take \(encoder.size) bytes, but the server takes 1 GiB at most")
        }
    }

    /// Sends `statement` with the parameters in the encoder.
    func send(
        _ statement: PostgresStatement, on handle: OpaquePointer, prepared entry: PreparedStatements.Entry?
    ) throws(PostgresError) {
        let sent = encoder.withArrays { count, types, values, lengths, formats in
            if let entry { return PQsendQueryPrepared(handle, entry.serverName, count, values, lengths, formats, 1) }
            return PQsendQueryParams(handle, statement.sql, count, types, values, lengths, formats, 1)
        }
        guard sent == 1 else { throw refused(handle) }
        try flush(handle)
    }

    /// Sends SQL that may hold several statements and no parameters, and forgets the rows.
    func executeScript(_ statement: PostgresStatement, within limit: Duration) throws(PostgresError) {
        begin(statement.name, within: limit)
        let handle = try open()
        begin(statement.name, within: limit)
        try payBegin(handle)
        _ = try sendScript(statement, on: handle)
    }

    /// Ends a transaction. When the answer is lost the outcome is unknown, unless the connection was already lost before.
    func commit() throws(PostgresError) {
        // Without a statement there is nothing to commit.
        if owesBegin { return owesBegin = false }
        let statement = PostgresStatement("commit transaction", "COMMIT")
        begin(statement.name, within: configuration.statementTimeout)
        let handle = try open()
        let tag: String
        do throws(PostgresError) {
            tag = try sendScript(statement, on: handle)
        } catch {
            if error.code == .server { throw error }
            throw PostgresError(
                .commitUnknown, statement: error.statement,
                "the answer to COMMIT was lost, so all of the transaction is committed or nothing: \(error.message)",
                sqlState: error.sqlState, hint: "look whether its changes are there before doing it again")
        }
        // The server answers COMMIT of a failed transaction with this tag, not with an error.
        if tag == "ROLLBACK" {
            throw PostgresError(
                .server, statement: statement.name, "rolled back, because a statement of the transaction had failed",
                sqlState: "25P02", hint: "let the error of the failed statement leave the transaction's closure")
        }
    }

    /// Sends the `BEGIN` that is owed, by itself.
    func payBegin(_ handle: OpaquePointer) throws(PostgresError) {
        guard owesBegin else { return }
        _ = try sendScript(Self.begin, on: handle)
        owesBegin = false
        isPinned = true
    }

    static let begin = PostgresStatement("begin transaction", "BEGIN")

    /// Returns the command tag of the last statement.
    private func sendScript(_ statement: PostgresStatement, on handle: OpaquePointer) throws(PostgresError) -> String {
        guard PQsendQuery(handle, statement.sql) == 1 else { throw refused(handle) }
        try flush(handle)
        let rows = try collect(handle, statement: statement.name)
        return PQcmdStatus(rows.storage.pointer).map { String(cString: $0) } ?? ""
    }

    /// Writes out what libpq has buffered, reading meanwhile: a server that waits for us to read does not read either.
    func flush(_ handle: OpaquePointer) throws(PostgresError) {
        while true {
            switch PQflush(handle) {
            case 0: return
            case 1:
                // The server may have said why before it hung up; libpq then gives that as the result.
                if try wait(POLLIN | POLLOUT) & POLLIN != 0, PQconsumeInput(handle) == 0 { return }
            default: return
            }
        }
    }

    /// The next result, or nil at the end of a statement.
    func next(_ handle: OpaquePointer) throws(PostgresError) -> OpaquePointer? {
        while PQisBusy(handle) == 1 {
            try wait(POLLIN)
            // At the end of the stream the last words are still in libpq's buffer.
            if PQconsumeInput(handle) == 0 { break }
        }
        return PQgetResult(handle)
    }

    /// Reads all results of what was sent and returns the last. The server is idle then.
    func collect(_ handle: OpaquePointer, statement: String) throws(PostgresError) -> PostgresRows {
        var rows: PostgresRows?
        var error: PostgresError?
        while let result = try next(handle) {
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                rows = PostgresRows(ResultStorage(result, statement: statement))
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                PQclear(result)
                drop()
                throw PostgresError(.misuse, statement: statement, "COPY needs copyIn, not execute")
            default:
                if error == nil { error = failure(result, statement: statement) }
                PQclear(result)
            }
        }
        settleCancels()
        guard isOpen else { throw afterLoss(error) }
        if let error { throw error }
        guard let rows else { throw lost() }
        return rows
    }

    /// libpq did not take a statement: the connection is broken, or the statement cannot be sent.
    func refused(_ handle: OpaquePointer) -> PostgresError {
        let words = String(cString: PQerrorMessage(handle)).oneLine
        if PQstatus(handle) == CONNECTION_BAD { return lost() }
        drop()
        return failure(.misuse, words)
    }
}
