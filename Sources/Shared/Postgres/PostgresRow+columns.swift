import CLibPQ

/// Columns by position and concrete type, for statements whose rows come by the hundred: as `decode`, without the generic
/// calls of a parameter pack. `column` counts from 0. Throw `decoding` as `decode` does.
extension PostgresRow {
    package func int16(_ column: Int) throws(PostgresError) -> Int16 {
        if let value = fixed(column, PostgresType.int2, Int16.self) { return value }
        return try decode(from: column, Int16.self)
    }

    package func int32(_ column: Int) throws(PostgresError) -> Int32 {
        if let value = fixed(column, PostgresType.int4, Int32.self) { return value }
        return try decode(from: column, Int32.self)
    }

    package func int64(_ column: Int) throws(PostgresError) -> Int64 {
        if let value = fixed(column, PostgresType.int8, Int64.self) { return value }
        return try decode(from: column, Int64.self)
    }

    package func bytes(_ column: Int) throws(PostgresError) -> [UInt8] { try decode(from: column, [UInt8].self) }

    package func optionalDouble(_ column: Int) throws(PostgresError) -> Double? {
        if let value = fixed(column, PostgresType.float8, UInt64.self) { return Double(bitPattern: value) }
        return try decode(from: column, Double?.self)
    }

    package func optionalString(_ column: Int) throws(PostgresError) -> String? {
        if column < Int(PQnfields(storage.pointer)), PQgetisnull(storage.pointer, row, Int32(column)) == 1 {
            return nil
        }
        return try decode(from: column, String?.self)
    }

    /// The integer in a column of exactly that type; nil for anything else, which `decode` then names or reads.
    @inline(__always)
    private func fixed<T: FixedWidthInteger>(_ column: Int, _ type: UInt32, _: T.Type) -> T? {
        let index = Int32(truncatingIfNeeded: column)
        guard index >= 0, index < PQnfields(storage.pointer), PQftype(storage.pointer, index) == type,
            PQgetisnull(storage.pointer, row, index) == 0,
            PQgetlength(storage.pointer, row, index) == MemoryLayout<T>.size,
            let start = PQgetvalue(storage.pointer, row, index)
        else { return nil }
        return T(bigEndian: UnsafeRawPointer(start).loadUnaligned(as: T.self))
    }
}
