import Postgres
import TestSupport
import Testing

@Suite struct CopyTests {
    private struct Refusal: Error {}
    private let copy = "COPY t FROM STDIN"
    private let count = PostgresStatement("count rows", "SELECT count(*) FROM t")

    private func withTable(_ body: (PostgresPool) async throws -> Void) async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.execute(PostgresStatement("create table", "CREATE TABLE t (n int8, s text)"))
            try await body(pool)
        }
    }

    @Test func `chunks are copied wherever they are cut`() async throws {
        try await withTable { pool in
            let lines = (0..<1000).map { "\($0)\tline \($0)\n" }.joined()
            let bytes = Array(lines.utf8)
            let chunks = stride(from: 0, to: bytes.count, by: 777).map { Array(bytes[$0..<min($0 + 777, bytes.count)]) }
            let copied = try await pool.copyIn(copy, chunks)
            #expect(copied == 1000)
            let rows = try await pool.execute(count)[0].decode(Int.self)
            #expect(rows == 1000)
            let stream = AsyncStream { output in
                for chunk in chunks { output.yield(chunk) }
                output.finish()
            }
            let streamed = try await pool.copyIn(copy, stream)
            #expect(streamed == 1000)
            let nothing = try await pool.copyIn(copy, [[]])
            #expect(nothing == 0)
        }
    }

    @Test func `fifty megabytes in one chunk are copied`() async throws {
        try await withTable { pool in
            let line = Array("1\t\(String(repeating: "y", count: 998))\n".utf8)
            var bytes: [UInt8] = []
            for _ in 0..<50_000 { bytes.append(contentsOf: line) }
            let copied = try await pool.copyIn(copy, [bytes])
            #expect(copied == 50_000)
        }
    }

    @Test func `a line that does not fit copies nothing`() async throws {
        try await withTable { pool in
            let error = try await Probes.error { _ = try await pool.copyIn(copy, [Array("1\ta\nsEcReT\tb\n".utf8)]) }
            #expect(error.sqlState == "22P02")
            #expect(!"\(error)".contains("sEcReT"))
            #expect(
                try await Probes.error { _ = try await pool.copyIn("COPY nowhere FROM STDIN", []) }.sqlState == "42P01")
            #expect(try await Probes.error { _ = try await pool.copyIn("SELECT 1", []) }.code == .misuse)
            #expect(try await pool.execute(count)[0].decode(Int.self) == 0)
        }
    }

    @Test func `a source that fails copies nothing, and the session stays`() async throws {
        try await withTable { pool in
            let process = try await Probes.processID(pool)
            let source = AsyncThrowingStream<[UInt8], any Error> { output in
                output.yield(Array("1\ta\n".utf8))
                output.finish(throwing: Refusal())
            }
            await #expect(throws: Refusal.self) { try await pool.copyIn(copy, source) }
            let task = Task {
                try await pool.copyIn(
                    copy,
                    AsyncStream { output in
                        output.yield(Array("1\ta\n".utf8))
                        withUnsafeCurrentTask { $0?.cancel() }
                        output.finish()
                    })
            }
            #expect(try await Probes.error { _ = try await task.value }.code == .cancelled)
            #expect(try await pool.execute(count)[0].decode(Int.self) == 0)
            #expect(try await Probes.processID(pool) == process)
        }
    }
}
