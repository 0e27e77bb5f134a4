/// One value of a result in the server's binary form; valid while its row is.
package struct PostgresCell {
    let storage: ResultStorage
    let column: Int
    let type: UInt32
    /// Nil for `NULL`.
    let bytes: UnsafeRawBufferPointer?

    /// The bytes of a value that must not be `NULL`.
    func value<T>(as wanted: T.Type) throws(PostgresError) -> UnsafeRawBufferPointer {
        guard let bytes else { throw failure("is null, but \(T.self) is not optional") }
        return bytes
    }

    /// An integer of the value's full width.
    func integer<T: FixedWidthInteger>(_ type: T.Type, wanted: Any.Type) throws(PostgresError) -> T {
        guard let bytes else { throw failure("is null, but \(wanted) is not optional") }
        guard bytes.count == MemoryLayout<T>.size else { throw failure("has \(bytes.count) bytes") }
        return T(bigEndian: bytes.loadUnaligned(as: T.self))
    }

    func mismatch(_ wanted: Any.Type) -> PostgresError {
        failure(
            bytes == nil
                ? "is null, but \(wanted) is not optional"
                : "is of type \(PostgresType.name(of: type)), which does not decode as \(wanted)")
    }

    func failure(_ what: String) -> PostgresError {
        PostgresError(
            .decoding, statement: storage.statement, "column \(column + 1) \"\(storage.columnName(column))\" \(what)")
    }
}
