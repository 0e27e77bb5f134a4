extension Array: PostgresDecodable where Element: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> [Element] {
        try Element.decodeArray(cell)
    }
}

extension PostgresDecodable {
    /// Reads an array of one dimension: dimensions, null flag, element type, length, lower bound, then length (-1 for
    /// `NULL`) and value of each element (`array_send`).
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self] {
        let bytes = try cell.value(as: [Self].self)
        guard PostgresCell.isArray(cell.type) else { throw cell.mismatch([Self].self) }
        var offset = 0
        func next() throws(PostgresError) -> Int32 {
            guard bytes.count - offset >= 4 else { throw cell.failure("is a truncated array") }
            defer { offset += 4 }
            return Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
        }
        let dimensions = try next()
        _ = try next()
        let type = UInt32(bitPattern: try next())
        if dimensions == 0 { return [] }
        guard dimensions == 1 else { throw cell.failure("is an array of \(dimensions) dimensions") }
        let count = Int(try next())
        _ = try next()
        guard count >= 0, count <= bytes.count / 4 else { throw cell.failure("is a truncated array") }
        var elements: [Self] = []
        elements.reserveCapacity(count)
        for _ in 0..<count {
            let length = Int(try next())
            guard length <= bytes.count - offset else { throw cell.failure("is a truncated array") }
            let value = length < 0 ? nil : UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
            offset += max(0, length)
            elements.append(
                try Self.decode(PostgresCell(storage: cell.storage, column: cell.column, type: type, bytes: value)))
        }
        return elements
    }
}

extension PostgresCell {
    /// Scalars that could be mistaken for an array; every other type is told by its contents.
    static func isArray(_ type: UInt32) -> Bool {
        switch type {
        case PostgresType.boolArray, PostgresType.byteaArray, PostgresType.int2Array, PostgresType.int4Array,
            PostgresType.textArray, PostgresType.int8Array, PostgresType.float8Array, PostgresType.timestamptzArray,
            PostgresType.uuidArray, PostgresType.jsonbArray, 1002, 1003, 1014, 1015, 1021, 1028, 1115, 199, 271,
            PostgresType.firstOfUser...:
            true
        default: false
        }
    }
}
