#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A value sent with a statement, in binary with its type.
package enum PostgresParameter: Sendable {
    case null
    case bool(Bool)
    case int2(Int16)
    case int4(Int32)
    case int8(Int64)
    case float8(Double)
    case text(String)
    case bytea([UInt8])
    /// JSON text in UTF-8.
    case jsonb([UInt8])
    /// To the microsecond; `Date.distantPast` and `.distantFuture` are sent as `-infinity` and `infinity`.
    case timestamptz(Date)
    /// To the microsecond.
    case interval(Duration)
    case uuid(UUID)
    case xid8(UInt64)
    case boolArray([Bool])
    case int2Array([Int16])
    case int4Array([Int32])
    case int8Array([Int64])
    case float8Array([Double])
    case textArray([String?])
    case byteaArray([[UInt8]])
    case timestamptzArray([Date?])
    case jsonbArray([[UInt8]?])
    case uuidArray([UUID])

    /// `NULL` for nil, else what `make` makes of the value.
    package static func optional<Value>(
        _ value: Value?, _ make: (Value) throws -> PostgresParameter
    ) rethrows -> PostgresParameter {
        try value.map(make) ?? .null
    }

    /// A `jsonb` of `value` as `JSONEncoder` writes it. Throws `EncodingError`.
    package static func json(_ value: some Encodable) throws -> PostgresParameter {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return .jsonb([UInt8](try encoder.encode(value)))
    }

    /// The type announced to the server; 0 lets it infer.
    var type: UInt32 {
        switch self {
        case .null: 0
        case .bool: PostgresType.bool
        case .int2: PostgresType.int2
        case .int4: PostgresType.int4
        case .int8: PostgresType.int8
        case .float8: PostgresType.float8
        case .text: PostgresType.text
        case .bytea: PostgresType.bytea
        case .jsonb: PostgresType.jsonb
        case .timestamptz: PostgresType.timestamptz
        case .interval: PostgresType.interval
        case .uuid: PostgresType.uuid
        case .xid8: PostgresType.xid8
        case .boolArray: PostgresType.boolArray
        case .int2Array: PostgresType.int2Array
        case .int4Array: PostgresType.int4Array
        case .int8Array: PostgresType.int8Array
        case .float8Array: PostgresType.float8Array
        case .textArray: PostgresType.textArray
        case .byteaArray: PostgresType.byteaArray
        case .timestamptzArray: PostgresType.timestamptzArray
        case .jsonbArray: PostgresType.jsonbArray
        case .uuidArray: PostgresType.uuidArray
        }
    }
}
