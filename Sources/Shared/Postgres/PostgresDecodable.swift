#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A type that a value of a result can be read as.
package protocol PostgresDecodable: Sendable {
    static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self
    /// Reads an array of this type; `bytea` is the array of `UInt8`.
    static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self]
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Wrapped? {
        cell.bytes == nil ? nil : try Wrapped.decode(cell)
    }
}

extension Bool: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Bool {
        guard cell.type == PostgresType.bool else { throw cell.mismatch(Bool.self) }
        return try cell.integer(UInt8.self, wanted: Bool.self) != 0
    }
}

extension Int16: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int16 {
        guard cell.type == PostgresType.int2 else { throw cell.mismatch(Int16.self) }
        return try cell.integer(Int16.self, wanted: Int16.self)
    }
}

extension Int32: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int32 {
        switch cell.type {
        case PostgresType.int4: try cell.integer(Int32.self, wanted: Int32.self)
        case PostgresType.int2: Int32(try cell.integer(Int16.self, wanted: Int32.self))
        default: throw cell.mismatch(Int32.self)
        }
    }
}

extension Int64: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int64 {
        switch cell.type {
        case PostgresType.int8: try cell.integer(Int64.self, wanted: Int64.self)
        case PostgresType.int4: Int64(try cell.integer(Int32.self, wanted: Int64.self))
        case PostgresType.int2: Int64(try cell.integer(Int16.self, wanted: Int64.self))
        case PostgresType.oid: Int64(try cell.integer(UInt32.self, wanted: Int64.self))
        default: throw cell.mismatch(Int64.self)
        }
    }
}

extension Int: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int { Int(try Int64.decode(cell)) }
}

/// `xid8`, what `pg_current_xact_id()` returns.
extension UInt64: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> UInt64 {
        guard cell.type == PostgresType.xid8 else { throw cell.mismatch(UInt64.self) }
        return try cell.integer(UInt64.self, wanted: UInt64.self)
    }
}

extension Double: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Double {
        switch cell.type {
        case PostgresType.float8: Double(bitPattern: try cell.integer(UInt64.self, wanted: Double.self))
        case PostgresType.float4: Double(Float(bitPattern: try cell.integer(UInt32.self, wanted: Double.self)))
        default: throw cell.mismatch(Double.self)
        }
    }
}

extension String: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> String {
        let isText =
            switch cell.type {
            case PostgresType.text, PostgresType.varchar, PostgresType.bpchar, PostgresType.name, PostgresType.json,
                PostgresType.jsonb, PostgresType.unknown, PostgresType.firstOfUser...:
                true
            default: false
            }
        guard isText else { throw cell.mismatch(String.self) }
        var bytes = try cell.value(as: String.self)
        if cell.type == PostgresType.jsonb { bytes = try cell.jsonText(bytes) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw cell.failure("is not text in UTF-8") }
        return text
    }
}

/// The type `"char"`: one byte.
extension UInt8: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> UInt8 {
        guard cell.type == PostgresType.char else { throw cell.mismatch(UInt8.self) }
        return try cell.integer(UInt8.self, wanted: UInt8.self)
    }

    /// `bytea`, or the text of `json` and `jsonb`.
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [UInt8] {
        switch cell.type {
        case PostgresType.bytea, PostgresType.json: [UInt8](try cell.value(as: [UInt8].self))
        case PostgresType.jsonb: [UInt8](try cell.jsonText(try cell.value(as: [UInt8].self)))
        default: throw cell.mismatch([UInt8].self)
        }
    }
}

extension Date: PostgresDecodable {
    /// A `timestamp` without time zone is taken as UTC.
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Date {
        guard cell.type == PostgresType.timestamptz || cell.type == PostgresType.timestamp else {
            throw cell.mismatch(Date.self)
        }
        return PostgresTime.date(try cell.integer(Int64.self, wanted: Date.self))
    }
}

extension UUID: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> UUID {
        guard cell.type == PostgresType.uuid else { throw cell.mismatch(UUID.self) }
        let bytes = try cell.value(as: UUID.self)
        guard bytes.count == 16 else { throw cell.failure("has \(bytes.count) bytes") }
        return UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}

extension PostgresCell {
    /// The text of a `jsonb`, which follows a version byte.
    func jsonText(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) -> UnsafeRawBufferPointer {
        guard bytes.first == 1 else { throw failure("has an unknown version of jsonb") }
        return UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
    }
}
