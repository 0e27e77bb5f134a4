import Foundation
import Postgres

/// An answer that lost its compare-and-set and has not been presented yet.
package struct AlternateRecord: Sendable {
    package let id: Int64
    package let nonce: UUID
    package let sealed: [UInt8]
    package let issuedAt: Date
}

/// Rows of `evergrant.alternates`. No refresh token that a provider gave us is thrown away unpresented while its
/// grant lives.
package enum Alternates {
    /// Keeps an answer. Adding the same attempt's answer twice (a replayed journal) keeps one.
    /// - Parameter sealed: sealed for ``SealContext/alternateTokens(environmentID:uid:nonce:)``.
    /// - Returns: whether it was new.
    package static func add(
        connectionID: Int64, grantID: UUID, answersGeneration: Int64, nonce: UUID, sealed: [UInt8], issuedAt: Date,
        in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            insertStatement,
            [
                .int8(connectionID), .uuid(grantID), .int8(answersGeneration), .uuid(nonce), .bytea(sealed),
                .timestamptz(issuedAt),
            ]
        ).first != nil
    }

    /// The alternates of a grant that have not been presented, newest first (Intuit: the latest counts).
    package static func unpresented(connectionID: Int64, grantID: UUID, in db: any PostgresQuerying) async throws
        -> [AlternateRecord]
    {
        try await db.execute(listStatement, [.int8(connectionID), .uuid(grantID)]).map { row in
            let (id, nonce, sealed, issuedAt) = try row.decode(Int64.self, UUID.self, [UInt8].self, Date.self)
            return AlternateRecord(id: id, nonce: nonce, sealed: sealed, issuedAt: issuedAt)
        }
    }

    /// Written before the token is sent: from then on it is not an alternate any more.
    package static func markPresented(id: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(presentedStatement, [.int8(id)])
    }

    /// A new alternate opens a suspected connection at once: what it was suspected for says nothing of this token.
    package static func hasten(connectionID: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(hastenStatement, [.int8(connectionID)])
    }

    private static let hastenStatement = PostgresStatement(
        "hasten_retest",
        "update evergrant.connections set retest_at = clock_timestamp() where id = $1 and state = 'suspected'")

    private static let insertStatement = PostgresStatement(
        "insert_alternate",
        """
        insert into evergrant.alternates (connection_id, grant_id, answers_generation, nonce, sealed, issued_at)
        values ($1, $2, $3, $4, $5, $6) on conflict (nonce) do nothing returning id
        """)

    /// Index: alternates_of_connection.
    private static let listStatement = PostgresStatement(
        "list_alternates",
        """
        select id, nonce, sealed, issued_at from evergrant.alternates
        where connection_id = $1 and grant_id = $2 and presented_at is null order by issued_at desc, id desc limit 20
        """)

    private static let presentedStatement = PostgresStatement(
        "mark_alternate_presented",
        "update evergrant.alternates set presented_at = now() where id = $1 and presented_at is null")
}
