extension PostgresConnection {
    /// Runs `body` in a transaction (`BEGIN`, read committed unless the settings say otherwise): committed when it returns,
    /// rolled back when it throws or when the task was cancelled before `COMMIT` was sent. Throws what `body` throws, or
    /// `PostgresError`, of which `commitUnknown` leaves the outcome open.
    package func transaction<T: Sendable>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresTransaction) async throws -> T
    ) async throws -> T {
        let use = try await begin()
        let result: T
        do {
            result = try await body(PostgresTransaction(connection: self, use: use))
            if Task.isCancelled {
                throw PostgresError(.cancelled, statement: "commit transaction", "the task was cancelled")
            }
        } catch {
            await rollback(use)
            throw error
        }
        try await commit(use)
        return result
    }

    /// Copies `chunks` into a table: `sql` is `COPY … FROM STDIN`. Returns the number of rows. When `chunks` throws, nothing
    /// is copied and its error is thrown.
    package func copyIn<Chunks: AsyncSequence>(
        isolation: isolated (any Actor)? = #isolation, _ sql: String, _ chunks: Chunks
    ) async throws -> Int where Chunks.Element == [UInt8] {
        try await copyIn(sql, chunks, use: nil)
    }

    /// Copies `chunks` into a table.
    package func copyIn(
        isolation: isolated (any Actor)? = #isolation, _ sql: String, _ chunks: [[UInt8]]
    ) async throws -> Int {
        try await copyIn(sql, Chunks(chunks), use: nil)
    }

    func copyIn<Chunks: AsyncSequence>(
        isolation: isolated (any Actor)? = #isolation, _ sql: String, _ chunks: Chunks, use outer: UInt64?
    ) async throws -> Int where Chunks.Element == [UInt8] {
        let use = try await copyStart(sql, use: outer)
        do {
            var iterator = chunks.makeAsyncIterator()
            while let chunk = try await iterator.next(isolation: isolation) { try await copyData(chunk, use: use) }
            return try await copyEnd(use: use, outer: outer)
        } catch {
            await copyAbandon(use: use, outer: outer)
            throw error
        }
    }
}

/// An array as an asynchronous sequence.
struct Chunks: AsyncSequence, AsyncIteratorProtocol {
    private var rest: ArraySlice<[UInt8]>

    init(_ chunks: [[UInt8]]) { rest = chunks[...] }
    func makeAsyncIterator() -> Chunks { self }
    mutating func next() async -> [UInt8]? { rest.popFirst() }
    mutating func next(isolation: isolated (any Actor)?) async -> [UInt8]? { rest.popFirst() }
}
