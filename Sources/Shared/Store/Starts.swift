import Pacing
import Postgres

/// Starts of token requests under limits, outside the queue.
package enum Starts {
    /// Takes one start from each of these limits of the queue, or none.
    /// - Returns: how long until there may be room; nil when they were taken.
    package static func take(_ keys: [String], in db: any PostgresQuerying) async throws -> Duration? {
        try await wait(db.execute(takeStatement, [.textArray(keys)]))
    }

    /// Takes one start from the limit of a marked connection's own grant.
    package static func take(
        _ mark: AttemptMark, rate: Double, burst: Int, in db: any PostgresQuerying
    ) async throws -> Duration? {
        try await wait(
            db.execute(
                takeGrantStatement,
                [.int8(mark.connectionID), .uuid(mark.nonce), .float8(rate), .int4(Int32(clamping: burst))]))
    }

    private static func wait(_ rows: PostgresRows) throws -> Duration? {
        try rows.first?.decode(Double?.self).map { .seconds($0) }
    }

    /// Lock: limits by key.
    private static let takeStatement = PostgresStatement(
        "take_starts", "select evergrant.take_starts($1::text[])")

    /// Lock: the connection's row.
    private static let takeGrantStatement = PostgresStatement(
        "take_grant_start", "select evergrant.take_grant_start($1::bigint, $2::uuid, $3::float8, $4::int)")
}
