import EmbeddedPostgres
import Foundation
import Postgres
import Schema
import TestSupport
import Testing

@testable import Queue

/// A queue in a database that no other test uses afterwards, for tests that put faulty functions, triggers or settings
/// into it.
func withOwnQueue<T: Sendable>(_ body: (QueueFixture) async throws -> T) async throws -> T {
    let database = try await TestDatabase.makeMigrated()
    let fixture = QueueFixture(database)
    let result: Result<T, any Error>
    do {
        result = .success(try await body(fixture))
    } catch {
        result = .failure(error)
    }
    await fixture.close()
    try await database.drop()
    return try result.get()
}

/// A server that no other test shares, with the schema in its database.
func withOwnCluster(_ body: (EmbeddedCluster, String) async throws -> Void) async throws {
    let directory = NSTemporaryDirectory() + "/evergrant-test-cluster-\(UInt32.random(in: 0...UInt32.max))"
    let cluster = EmbeddedCluster(directory: directory, durable: false, logger: quiet)
    let result: Result<Void, any Error>
    do {
        let url = try await cluster.start()
        let pool = PostgresPool(PostgresConfiguration(url: url), logger: quiet)
        try await SchemaMigrator(pool: pool, logger: quiet).migrate()
        await pool.close()
        result = .success(try await body(cluster, url))
    } catch {
        result = .failure(error)
    }
    await cluster.destroy()
    try result.get()
}

/// A queue on a server that no other test shares: for what transaction ids of the whole cluster decide.
func withQuietCluster(_ body: (QueueFixture) async throws -> Void) async throws {
    try await withOwnCluster { _, url in
        let fixture = QueueFixture(TestDatabase(at: url))
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(fixture))
        } catch {
            result = .failure(error)
        }
        await fixture.close()
        try result.get()
    }
}

/// Something that rolls a test's transaction back.
struct RolledBack: Error {}

extension QueueFixture {
    /// Parks jobs of a claim: under a pause, or (reason `wait`) until a key has room.
    func park(
        _ claim: HandClaim, _ jobs: [Int64], reason: String, key: String, last: Bool = true,
        in other: (any PostgresQuerying)? = nil
    ) async throws {
        let note = Array(#"{"reason": "\#(reason)", "key": "\#(key)"}"#.utf8)
        try await (other ?? pool).execute(
            Statements.settleHeld,
            [
                .int8(claim.lease), .int8(claim.worker), .int8Array(jobs), .int2Array(jobs.map { _ in 3 }),
                .float8Array(jobs.map { _ in 0 }), .jsonbArray(jobs.map { _ in note }), .bool(last),
            ])
    }

    func resume(
        reason: String, key: String, limit: Int32 = 100, in other: (any PostgresQuerying)? = nil
    ) async throws -> Int {
        try await (other ?? pool).execute(
            PostgresStatement("resume", "select evergrant.resume($1, $2, $3)"),
            [.text(reason), .text(key), .int4(limit)]
        ).value(Int.self) ?? 0
    }

    /// Holds an advisory lock while `body` runs; a statement that begins with `Self.gate` waits for its end, with the
    /// snapshot it began with.
    func holdingGate<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        try await pool.transaction { keeper async throws in
            try await keeper.execute(PostgresStatement("hold gate", "select pg_advisory_xact_lock(43)"))
            return try await body()
        }
    }

    /// A CTE named `gate` to be joined with.
    static let gate = "with gate as materialized (select pg_advisory_xact_lock_shared(43))"

    /// A run that starts now: is there one? Wishes and due jobs come in first, as the duties bring them.
    func runsAgain(_ worker: Int64) async throws -> Bool {
        try await maintenance.foldWishes()
        try await maintenance.promote()
        return try await !claim(worker).jobs.isEmpty
    }
}
