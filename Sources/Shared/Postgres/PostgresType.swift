/// Type identifiers of the built-in types, fixed in every server (`pg_type.dat`).
enum PostgresType {
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let char: UInt32 = 18
    static let name: UInt32 = 19
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let oid: UInt32 = 26
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let unknown: UInt32 = 705
    static let boolArray: UInt32 = 1000
    static let byteaArray: UInt32 = 1001
    static let int2Array: UInt32 = 1005
    static let int4Array: UInt32 = 1007
    static let textArray: UInt32 = 1009
    static let int8Array: UInt32 = 1016
    static let float8Array: UInt32 = 1022
    static let bpchar: UInt32 = 1042
    static let varchar: UInt32 = 1043
    static let timestamp: UInt32 = 1114
    static let timestamptz: UInt32 = 1184
    static let timestamptzArray: UInt32 = 1185
    static let interval: UInt32 = 1186
    static let numeric: UInt32 = 1700
    static let uuid: UInt32 = 2950
    static let uuidArray: UInt32 = 2951
    static let jsonb: UInt32 = 3802
    static let jsonbArray: UInt32 = 3807
    static let xid8: UInt32 = 5069
    /// Types from here on were made by users: enums and domains, whose binary form is their text.
    static let firstOfUser: UInt32 = 16384

    private static let names: [UInt32: String] = [
        bool: "bool", bytea: "bytea", char: "\"char\"", name: "name", int8: "int8", int2: "int2", int4: "int4",
        text: "text", oid: "oid", json: "json", float4: "float4", float8: "float8", boolArray: "bool[]",
        byteaArray: "bytea[]", int2Array: "int2[]", int4Array: "int4[]", textArray: "text[]", int8Array: "int8[]",
        float8Array: "float8[]", bpchar: "char(n)", varchar: "varchar", timestamp: "timestamp",
        timestamptz: "timestamptz", timestamptzArray: "timestamptz[]", interval: "interval", numeric: "numeric",
        uuid: "uuid", uuidArray: "uuid[]", jsonb: "jsonb", jsonbArray: "jsonb[]", xid8: "xid8",
    ]

    /// The type's name for messages.
    static func name(of type: UInt32) -> String { names[type] ?? "type \(type)" }
}
