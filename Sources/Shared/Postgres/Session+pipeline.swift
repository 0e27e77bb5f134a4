import CLibPQ

extension Session {
    private enum Step {
        case begin
        case prepare(PreparedStatements.Entry, PostgresStatement)
        case execute(PostgresStatement, PreparedStatements.Entry?)
    }

    /// Sends all statements at once, with one `Sync` at the end: outside a transaction they are one. The first error
    /// undoes all of them.
    func pipeline(
        _ batch: [(PostgresStatement, [PostgresParameter])], within limit: Duration
    ) throws(PostgresError) -> [PostgresRows] {
        let isWhole = !isPinned && !owesBegin
        do {
            return try attempt(batch, within: limit)
        } catch {
            // All of it was undone, and now it is prepared anew.
            guard error.isOfPreparation, isWhole, isOpen, transactionStatus == PQTRANS_IDLE else { throw error }
            return try attempt(batch, within: limit)
        }
    }

    private func attempt(
        _ batch: [(PostgresStatement, [PostgresParameter])], within limit: Duration
    ) throws(PostgresError) -> [PostgresRows] {
        if batch.isEmpty { return [] }
        // A single statement comes from `execute`.
        begin(batch.count == 1 ? batch[0].0.name : "pipeline", within: limit)
        let handle = try open()
        begin(statement, within: limit)
        guard PQenterPipelineMode(handle) == 1 else { throw refused(handle) }
        var steps: [Step] = []
        if owesBegin {
            guard PQsendQueryParams(handle, Self.begin.sql, 0, nil, nil, nil, nil, 1) == 1 else {
                throw refused(handle)
            }
            steps.append(.begin)
            owesBegin = false
            isPinned = true
        }
        for (statement, parameters) in batch {
            self.statement = statement.name
            do { try encode(parameters) } catch {
                drop()
                throw error
            }
            var entry: PreparedStatements.Entry?
            if configuration.preparesStatements {
                entry = prepared.find(statement, encoder.types)
                if entry == nil, !prepared.isFull {
                    let new = prepared.add(statement, encoder.types)
                    steps.append(.prepare(new, statement))
                    try sendPrepare(new, on: handle)
                    entry = new
                }
            }
            try send(statement, on: handle, prepared: entry)
            steps.append(.execute(statement, entry))
        }
        guard PQpipelineSync(handle) == 1 else { throw refused(handle) }
        try flush(handle)
        return try collect(steps, handle)
    }

    /// After a failure: what was not prepared, or what the server has forgotten or cannot run as prepared any more.
    private func forget(_ step: Step, _ error: PostgresError?) {
        switch step {
        case .begin, .execute(_, nil): break
        case .prepare(let entry, let statement): prepared.remove(entry, of: statement)
        case .execute(let statement, let entry?):
            if error?.isOfPreparation == true { prepared.remove(entry, of: statement) }
        }
    }

    private func collect(_ steps: [Step], _ handle: OpaquePointer) throws(PostgresError) -> [PostgresRows] {
        var rows: [PostgresRows] = []
        rows.reserveCapacity(steps.count)
        var first: PostgresError?
        for step in steps {
            let statement =
                switch step {
                case .begin: Self.begin
                case .prepare(_, let statement), .execute(let statement, _): statement
                }
            self.statement = statement.name
            var succeeded = false
            while let result = try next(handle) {
                switch PQresultStatus(result) {
                case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                    succeeded = true
                    let answer = PostgresRows(ResultStorage(result, statement: statement.name))
                    if case .execute = step { rows.append(answer) }
                case PGRES_PIPELINE_ABORTED:
                    PQclear(result)
                default:
                    if first == nil { first = failure(result, statement: statement.name) }
                    PQclear(result)
                }
                guard isOpen else { throw afterLoss(first) }
            }
            guard isOpen else { throw afterLoss(first) }
            if !succeeded { forget(step, first) }
        }
        while let result = try next(handle) {
            let status = PQresultStatus(result)
            PQclear(result)
            if status == PGRES_PIPELINE_SYNC { break }
            guard isOpen else { throw afterLoss(first) }
        }
        settleCancels()
        guard isOpen, PQexitPipelineMode(handle) == 1 else { throw afterLoss(first) }
        if let first { throw first }
        return rows
    }
}
