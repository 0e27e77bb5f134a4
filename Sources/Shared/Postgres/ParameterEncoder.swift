#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Parameters in the server's binary form, in the arrays that libpq takes. One encoder serves all statements of a
/// connection, so that in the usual case nothing is allocated.
struct ParameterEncoder {
    private(set) var types: [UInt32] = []
    /// Begins with one idle byte: an empty value needs a pointer that is not null.
    private var bytes: [UInt8] = [0]
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []
    private var values: [UnsafePointer<CChar>?] = []
    /// What is kept between statements.
    private static let keptBytes = 1 << 20

    /// The most parameters a statement can have (`PQ_QUERY_PARAM_MAX_LIMIT`).
    static let maximumCount = 65_535

    /// The most the server takes in one message (`MaxAllocSize`).
    static let maximumSize = 1 << 30

    var count: Int { types.count }
    /// In bytes.
    var size: Int { bytes.count }

    mutating func encode(_ parameters: [PostgresParameter]) {
        if bytes.capacity > Self.keptBytes { bytes = [0] } else { bytes.removeSubrange(1...) }
        types.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        for parameter in parameters {
            types.append(parameter.type)
            let start = bytes.count
            if case .null = parameter {
                starts.append(-1)
            } else {
                append(parameter)
                starts.append(start)
            }
            lengths.append(Int32(clamping: bytes.count - start))
        }
        while formats.count < parameters.count { formats.append(1) }
    }

    /// Calls `body` with count, types, values, lengths and formats; the pointers are valid only inside.
    mutating func withArrays<Result>(
        _ body: (
            Int32, UnsafePointer<UInt32>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?,
            UnsafePointer<Int32>?
        ) -> Result
    ) -> Result {
        if types.isEmpty { return body(0, nil, nil, nil, nil) }
        values.removeAll(keepingCapacity: true)
        return bytes.withUnsafeBytes { buffer in
            for start in starts {
                values.append(
                    start < 0 ? nil : buffer.baseAddress.map { ($0 + start).assumingMemoryBound(to: CChar.self) })
            }
            return body(Int32(types.count), types, values, lengths, formats)
        }
    }

    private mutating func append(_ parameter: PostgresParameter) {
        switch parameter {
        case .null: break
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .int2(let value): append(value)
        case .int4(let value): append(value)
        case .int8(let value): append(value)
        case .float8(let value): append(value.bitPattern)
        case .text(let value): bytes.append(contentsOf: value.utf8)
        case .bytea(let value): bytes.append(contentsOf: value)
        case .jsonb(let value): append(json: value)
        case .timestamptz(let value): append(PostgresTime.microseconds(value))
        case .interval(let value):
            append(Self.microseconds(value))
            append(Int64(0))  // days and months
        case .uuid(let value): append(value)
        case .xid8(let value): append(value)
        case .boolArray(let values):
            appendArray(values, of: PostgresType.bool) { $0.bytes.append($1 ? 1 : 0) }
        case .int2Array(let values): appendArray(values, of: PostgresType.int2) { $0.append($1) }
        case .int4Array(let values): appendArray(values, of: PostgresType.int4) { $0.append($1) }
        case .int8Array(let values): appendArray(values, of: PostgresType.int8) { $0.append($1) }
        case .float8Array(let values): appendArray(values, of: PostgresType.float8) { $0.append($1.bitPattern) }
        case .textArray(let values):
            appendArray(values, of: PostgresType.text) { $0.bytes.append(contentsOf: $1.utf8) }
        case .byteaArray(let values):
            appendArray(values, of: PostgresType.bytea) { $0.bytes.append(contentsOf: $1) }
        case .timestamptzArray(let values):
            appendArray(values, of: PostgresType.timestamptz) { $0.append(PostgresTime.microseconds($1)) }
        case .jsonbArray(let values): appendArray(values, of: PostgresType.jsonb) { $0.append(json: $1) }
        case .uuidArray(let values): appendArray(values, of: PostgresType.uuid) { $0.append($1) }
        }
    }

    private mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func append(_ value: UUID) {
        withUnsafeBytes(of: value.uuid) { bytes.append(contentsOf: $0) }
    }

    /// `jsonb` travels as a version byte and the text.
    private mutating func append(json: [UInt8]) {
        bytes.append(1)
        bytes.append(contentsOf: json)
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : product + attoseconds / 1_000_000_000_000
    }

    private mutating func appendArray<Element>(
        _ values: [Element], of type: UInt32, _ encode: (inout ParameterEncoder, Element) -> Void
    ) {
        appendArray(values.lazy.map { Optional($0) }, count: values.count, hasNulls: false, of: type, encode)
    }

    private mutating func appendArray<Element>(
        _ values: [Element?], of type: UInt32, _ encode: (inout ParameterEncoder, Element) -> Void
    ) {
        appendArray(values, count: values.count, hasNulls: values.contains { $0 == nil }, of: type, encode)
    }

    /// Dimensions (none when empty), null flag, element type, length, lower bound, then length and value of each
    /// element (`array_recv`).
    private mutating func appendArray<Element>(
        _ values: some Sequence<Element?>, count: Int, hasNulls: Bool, of type: UInt32,
        _ encode: (inout ParameterEncoder, Element) -> Void
    ) {
        append(Int32(count == 0 ? 0 : 1))
        append(Int32(hasNulls ? 1 : 0))
        append(type)
        if count == 0 { return }
        append(Int32(clamping: count))
        append(Int32(1))
        for value in values {
            let place = bytes.count
            append(Int32(-1))
            guard let value else { continue }
            encode(&self, value)
            let length = Int32(clamping: bytes.count - place - 4)
            withUnsafeBytes(of: length.bigEndian) {
                for (offset, byte) in $0.enumerated() { bytes[place + offset] = byte }
            }
        }
    }
}
