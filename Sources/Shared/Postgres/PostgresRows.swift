import CLibPQ

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A `PGresult` and the statement it answers.
final class ResultStorage: @unchecked Sendable {
    // A PGresult is never changed after libpq has handed it out, so any thread may read it (manual, "Behavior in
    // Threaded Programs").
    let pointer: OpaquePointer
    let statement: String

    /// Takes ownership of `pointer`.
    init(_ pointer: OpaquePointer, statement: String) {
        self.pointer = pointer
        self.statement = statement
    }

    deinit { PQclear(pointer) }

    func columnName(_ column: Int) -> String {
        PQfname(pointer, Int32(column)).map { String(cString: $0) } ?? "?"
    }
}

/// The rows a statement returned.
package struct PostgresRows: Sendable, RandomAccessCollection {
    let storage: ResultStorage
    /// Rows inserted, changed, deleted, selected or copied; 0 for other statements.
    package let affected: Int
    package let endIndex: Int

    init(_ storage: ResultStorage) {
        self.storage = storage
        endIndex = Int(PQntuples(storage.pointer))
        affected = PQcmdTuples(storage.pointer).map { strtol($0, nil, 10) } ?? 0
    }

    package var startIndex: Int { 0 }
    package subscript(position: Int) -> PostgresRow {
        precondition(position >= 0 && position < endIndex, "row \(position) of \(endIndex)")
        return PostgresRow(storage: storage, row: Int32(position))
    }
}

/// One row, read by position or by column name.
package struct PostgresRow: Sendable {
    let storage: ResultStorage
    let row: Int32

    /// Columns as the given types, in order, beginning at column `start` (from 0). Throws `decoding` when there are fewer
    /// columns, or a value has another type, or is `NULL` and its type not optional.
    package func decode<each T: PostgresDecodable>(
        from start: Int = 0, _ types: repeat (each T).Type
    ) throws(PostgresError) -> (repeat each T) {
        var column = start
        return (repeat try next((each T).self, &column))
    }

    /// The column with that name. Throws as `decode` does.
    package subscript<T: PostgresDecodable>(_ column: String, as type: T.Type) -> T {
        get throws {
            let count = Int(PQnfields(storage.pointer))
            for index in 0..<count
            where PQfname(storage.pointer, Int32(index)).map({ strcmp($0, column) == 0 }) ?? false {
                return try T.decode(cell(index))
            }
            throw PostgresError(
                .decoding, statement: storage.statement, "no column \"\(column)\" in the result",
                hint: "it has \((0..<count).map { storage.columnName($0) }.joined(separator: ", "))")
        }
    }

    private func next<T: PostgresDecodable>(_ type: T.Type, _ column: inout Int) throws(PostgresError) -> T {
        guard column < Int(PQnfields(storage.pointer)) else {
            throw PostgresError(
                .decoding, statement: storage.statement,
                "column \(column + 1) was asked for, but the result has \(PQnfields(storage.pointer))")
        }
        defer { column += 1 }
        return try T.decode(cell(column))
    }

    private func cell(_ column: Int) -> PostgresCell {
        let index = Int32(column)
        let isNull = PQgetisnull(storage.pointer, row, index) == 1
        return PostgresCell(
            storage: storage, column: column, type: PQftype(storage.pointer, index),
            bytes: isNull
                ? nil
                : UnsafeRawBufferPointer(
                    start: PQgetvalue(storage.pointer, row, index), count: Int(PQgetlength(storage.pointer, row, index))
                ))
    }
}
