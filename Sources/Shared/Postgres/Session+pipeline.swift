import CLibPQ

extension Session {
    private enum Step {
        case prepare(PreparedStatements.Entry, PostgresStatement)
        case execute(PostgresStatement)
    }

    /// Sends all statements at once, with one `Sync` at the end: outside a transaction they are one. The first error
    /// undoes all of them.
    func pipeline(
        _ batch: [(PostgresStatement, [PostgresParameter])], within limit: Duration
    ) throws(PostgresError) -> [PostgresRows] {
        begin("pipeline", within: limit)
        let handle = try open()
        begin("pipeline", within: limit)
        if batch.isEmpty { return [] }
        guard PQenterPipelineMode(handle) == 1 else { throw refused(handle) }
        var steps: [Step] = []
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
            steps.append(.execute(statement))
        }
        guard PQpipelineSync(handle) == 1 else { throw refused(handle) }
        try flush(handle)
        return try collect(steps, handle)
    }

    private func collect(_ steps: [Step], _ handle: OpaquePointer) throws(PostgresError) -> [PostgresRows] {
        var rows: [PostgresRows] = []
        rows.reserveCapacity(steps.count)
        var first: PostgresError?
        for step in steps {
            let statement =
                switch step {
                case .prepare(_, let statement), .execute(let statement): statement
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
            if !succeeded, case .prepare(let entry, _) = step { prepared.remove(entry, of: statement) }
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
