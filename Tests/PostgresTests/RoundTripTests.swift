import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct RoundTripTests {
    /// Sends one parameter and reads it back as the same type.
    private func echo<T: PostgresDecodable>(
        _ parameter: PostgresParameter, as type: T.Type, _ pool: PostgresPool
    ) async throws -> T {
        let rows = try await pool.execute(PostgresStatement("echo", "SELECT $1"), [parameter])
        return try rows[0].decode(type)
    }

    @Test func `columns read by position are what decode reads, and refuse what it refuses`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let rows = try await pool.execute(
                PostgresStatement(
                    "columns",
                    "SELECT 1::int2, -2::int4, 3::int8, 0.5::float8, 'text'::text, '\\x0102'::bytea, null::int8, null::text"
                ))
            let row = rows[0]
            #expect(try row.int16(0) == 1 && row.int32(1) == -2 && row.int64(2) == 3)
            #expect(try row.int32(0) == 1 && row.int64(1) == -2)
            #expect(try row.optionalDouble(3) == 0.5 && row.optionalDouble(6) == nil)
            #expect(try row.optionalString(4) == "text" && row.optionalString(7) == nil)
            #expect(try row.bytes(5) == [1, 2])
            for refused in [{ _ = try row.int64(6) }, { _ = try row.int16(1) }, { _ = try row.int64(8) }]
                as [() throws -> Void]
            {
                #expect(throws: PostgresError.self) { try refused() }
            }
        }
    }

    @Test func `every scalar comes back as it was sent`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let uuid = UUID()
            let now = Date(timeIntervalSince1970: 1_764_000_000.123456)
            #expect(try await echo(.bool(true), as: Bool.self, pool))
            #expect(try await echo(.bool(false), as: Bool.self, pool) == false)
            for number in [Int16.min, -1, 0, 1, .max] {
                #expect(try await echo(.int2(number), as: Int16.self, pool) == number)
            }
            for number in [Int32.min, -1, 0, 1, .max] {
                #expect(try await echo(.int4(number), as: Int32.self, pool) == number)
            }
            for number in [Int64.min, -1, 0, 1, .max] {
                #expect(try await echo(.int8(number), as: Int64.self, pool) == number)
                #expect(try await echo(.int8(number), as: Int.self, pool) == Int(number))
            }
            for number in [-Double.greatestFiniteMagnitude, -0.1, 0, .pi, .infinity] {
                #expect(try await echo(.float8(number), as: Double.self, pool) == number)
            }
            #expect(try await echo(.float8(.nan), as: Double.self, pool).isNaN)
            #expect(try await echo(.uuid(uuid), as: UUID.self, pool) == uuid)
            #expect(try await echo(.xid8(.max), as: UInt64.self, pool) == .max)
            let date = try await echo(.timestamptz(now), as: Date.self, pool)
            #expect(abs(date.timeIntervalSince(now)) < 0.000_001)
            #expect(try await echo(.timestamptz(date), as: Date.self, pool) == date)
            #expect(try await echo(.timestamptz(.distantPast), as: Date.self, pool) == .distantPast)
            #expect(try await echo(.timestamptz(.distantFuture), as: Date.self, pool) == .distantFuture)
            let seconds = try await pool.execute(
                PostgresStatement("measure interval", "SELECT extract(epoch FROM $1)::float8"),
                [.interval(.milliseconds(90_061_500))])
            #expect(try seconds[0].decode(Double.self) == 90_061.5)
        }
    }

    @Test func `text keeps every script, and bytes keep every byte`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            for text in ["", "plain", "naïve 日本語 🇺🇳 e\u{301}", String(repeating: "ß", count: 100_000)] {
                let back = try await echo(.text(text), as: String.self, pool)
                #expect(back == text)
            }
            for bytes in [[], [0], Array(0...255), [0, 0, 0]] as [[UInt8]] {
                let back = try await echo(.bytea(bytes), as: [UInt8].self, pool)
                #expect(back == bytes)
            }
        }
    }

    @Test func `JSON comes back as text or bytes`() async throws {
        struct Payload: Codable, Equatable {
            var name: String
            var path: String
        }
        try await withTestDatabase { database in
            let pool = database.pool()
            let payload = Payload(name: "ä", path: "a/b")
            let parameter = try PostgresParameter.json(payload)
            let bytes = try await echo(parameter, as: [UInt8].self, pool)
            #expect(try JSONDecoder().decode(Payload.self, from: Data(bytes)) == payload)
            #expect(try await echo(.jsonb(Array("[1, 2]".utf8)), as: String.self, pool) == "[1, 2]")
            let plain = try await pool.execute(PostgresStatement("read json", "SELECT '{\"a\":1}'::json"))
            #expect(try plain[0].decode([UInt8].self) == Array("{\"a\":1}".utf8))
        }
    }

    @Test func `arrays come back, empty ones and null elements too`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let uuids = [UUID(), UUID()]
            let date = Date(timeIntervalSinceReferenceDate: 1000)
            #expect(try await echo(.boolArray([true, false]), as: [Bool].self, pool) == [true, false])
            #expect(try await echo(.int2Array([1, -2]), as: [Int16].self, pool) == [1, -2])
            #expect(try await echo(.int4Array([1, -2]), as: [Int32].self, pool) == [1, -2])
            #expect(try await echo(.int8Array([]), as: [Int64].self, pool) == [])
            #expect(try await echo(.int8Array([.min, .max]), as: [Int64].self, pool) == [.min, .max])
            #expect(try await echo(.float8Array([0.5]), as: [Double].self, pool) == [0.5])
            #expect(
                try await echo(.textArray(["a", nil, "", "{},\"\\"]), as: [String?].self, pool) == [
                    "a", nil, "", "{},\"\\",
                ])
            #expect(try await echo(.byteaArray([[], [0], [1, 2]]), as: [[UInt8]].self, pool) == [[], [0], [1, 2]])
            #expect(try await echo(.timestamptzArray([date, nil]), as: [Date?].self, pool) == [date, nil])
            let json = try await echo(.jsonbArray([Array("1".utf8), nil]), as: [[UInt8]?].self, pool)
            #expect(json == [Array("1".utf8), nil])
            #expect(try await echo(.uuidArray(uuids), as: [UUID].self, pool) == uuids)
            #expect(try await echo(.textArray([]), as: [String]?.self, pool) == [])
        }
    }

    @Test func `null is nil, and one statement takes a null before and after a value`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let statement = PostgresStatement("add one", "SELECT $1::int8 + 1, $2::text")
            for (number, text) in [(nil, "a"), (1, nil), (nil, nil), (2, "b")] as [(Int64?, String?)] {
                let rows = try await pool.execute(
                    statement, [.optional(number) { .int8($0) }, .optional(text) { .text($0) }])
                #expect(try rows[0].decode(Int64?.self, String?.self) == (number.map { $0 + 1 }, text))
            }
            // The same statement with another type in the same place is prepared again, not misread.
            let rows = try await pool.execute(statement, [.int4(41), .null])
            #expect(try rows[0].decode(Int.self, String?.self) == (42, nil))
        }
    }

    @Test func `columns are found by name, and small integers widen`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let rows = try await pool.execute(
                PostgresStatement(
                    "name columns", "SELECT 1::int2 AS a, 2::int4 AS \"B c\", 3::int8 AS d, 'x'::name AS e"))
            #expect(try rows[0]["a", as: Int.self] == 1)
            #expect(try rows[0]["B c", as: Int64.self] == 2)
            #expect(try rows[0]["a", as: Int32.self] == 1)
            #expect(try rows[0]["e", as: String.self] == "x")
            let error = #expect(throws: PostgresError.self) { try rows[0]["f", as: Int.self] }
            #expect(error?.code == .decoding)
            #expect(error?.hint == "it has a, B c, d, e")
        }
    }

    @Test func `rows are a collection, and affected counts what a statement changed`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            try await pool.execute(PostgresStatement("create table", "CREATE TABLE t (n int4)"))
            let inserted = try await pool.execute(
                PostgresStatement("insert numbers", "INSERT INTO t SELECT unnest($1::int4[]) RETURNING n"),
                [.int4Array([3, 1, 2])])
            #expect(inserted.affected == 3)
            let numbers = try inserted.map { try $0.decode(Int.self) }
            #expect(numbers == [3, 1, 2])
            #expect(inserted.count == 3)
            let deleted = try await pool.execute(PostgresStatement("delete numbers", "DELETE FROM t WHERE n > 1"))
            #expect(deleted.affected == 2)
            #expect(deleted.isEmpty)
        }
    }

    @Test func `a value of fifty megabytes goes both ways`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let bytes = [UInt8](unsafeUninitializedCapacity: 50 << 20) { buffer, count in
                for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
                count = buffer.count
            }
            let back = try await echo(.bytea(bytes), as: [UInt8].self, pool)
            #expect(back == bytes)
        }
    }

    @Test func `an enum of the database reads as text`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            try await pool.execute(PostgresStatement("create type", "CREATE TYPE mood AS ENUM ('fine', 'sad')"))
            let rows = try await pool.execute(PostgresStatement("read mood", "SELECT 'sad'::mood, ARRAY['fine'::mood]"))
            #expect(try rows[0].decode(String.self, [String].self) == ("sad", ["fine"]))
        }
    }
}
