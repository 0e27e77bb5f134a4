import Postgres
import TestSupport
import Testing

/// What several suites need.
enum Probes {
    static let one = PostgresStatement("select one", "SELECT 1")
    static let sleep = PostgresStatement("sleep long", "SELECT pg_sleep(60)")
    static let processID = PostgresStatement("read process", "SELECT pg_backend_pid()")

    /// The server's process number of the session behind `querying`.
    static func processID(_ querying: some PostgresQuerying) async throws -> Int32 {
        try await querying.execute(processID)[0].decode(Int32.self)
    }

    /// Ends a session from outside and returns when it is gone.
    static func terminate(_ process: Int32, _ observer: PostgresPool) async throws {
        try await observer.execute(
            PostgresStatement("terminate session", "SELECT pg_terminate_backend($1, 10000)"), [.int4(process)])
    }

    /// Returns as soon as a session runs a statement that contains `text`, and gives its process number.
    static func running(_ text: String, _ observer: PostgresPool) async throws -> Int32 {
        let statement = PostgresStatement(
            "find session",
            """
            SELECT pid FROM pg_stat_activity
            WHERE state = 'active' AND datname = current_database() AND pid <> pg_backend_pid() AND query LIKE $1
            """)
        while true {
            try Task.checkCancellation()
            if let row = try await observer.execute(statement, [.text("%\(text)%")]).first {
                return try row.decode(Int32.self)
            }
        }
    }

    /// The error that `body` throws.
    static func error(
        _ sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
    ) async throws -> PostgresError {
        try #require(
            await #expect(throws: PostgresError.self, sourceLocation: sourceLocation) { try await body() },
            sourceLocation: sourceLocation)
    }
}
