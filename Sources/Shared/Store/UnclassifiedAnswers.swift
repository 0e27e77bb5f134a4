import Foundation
import Postgres

/// An answer that no rule of the catalog knows, redacted.
package struct UnclassifiedAnswer: Sendable, Hashable {
    /// Status, code, and the words without their numbers: what makes two answers the same.
    package var shape: String
    package var status: Int
    package var code: String?
    package var sample: String?
    package var requestID: String?
    package var seen: Int

    package init(shape: String, status: Int, code: String?, sample: String?, requestID: String?, seen: Int) {
        self.shape = shape
        self.status = status
        self.code = code
        self.sample = sample
        self.requestID = requestID
        self.seen = seen
    }
}

/// One as it is shown to an operator.
package struct UnclassifiedRecord: Sendable {
    package let appUID: String
    package let provider: String
    package let host: String
    package let answer: UnclassifiedAnswer
    package let firstAt: Date
    package let lastAt: Date
}

/// Rows of `evergrant.unclassified_answers`: the newest few shapes of each endpoint.
package enum UnclassifiedAnswers {
    /// Shapes that are kept of an endpoint.
    package static let most = 20

    /// Counts answers; the oldest shapes of the endpoint go when there are too many.
    package static func add(
        _ answers: [UnclassifiedAnswer], to key: TokenHostKey, in db: any PostgresQuerying
    ) async throws {
        for answer in answers {
            try await db.execute(
                addStatement,
                [
                    .int8(key.appID), .text(key.host), .text(answer.shape), .int4(Int32(clamping: answer.status)),
                    .optional(answer.code) { .text($0) }, .optional(answer.sample) { .text($0) },
                    .optional(answer.requestID) { .text($0) }, .int8(Int64(answer.seen)),
                ])
        }
        try await db.execute(trimStatement, [.int8(key.appID), .text(key.host), .int4(Int32(most))])
    }

    /// Newest first.
    package static func list(
        environmentID: Int64, limit: Int = 100, in db: any PostgresQuerying
    ) async throws -> [UnclassifiedRecord] {
        try await db.execute(listStatement, [.int8(environmentID), .int4(Int32(min(max(limit, 1), 1000)))]).map { row in
            let (app, provider, host, shape, status, code) = try row.decode(
                String.self, String.self, String.self, String.self, Int32.self, String?.self)
            let (sample, request, seen, first, last) = try row.decode(
                from: 6, String?.self, String?.self, Int64.self, Date.self, Date.self)
            return UnclassifiedRecord(
                appUID: app, provider: provider, host: host,
                answer: UnclassifiedAnswer(
                    shape: shape, status: Int(status), code: code, sample: sample, requestID: request,
                    seen: Int(seen)),
                firstAt: first, lastAt: last)
        }
    }

    static let addStatement = PostgresStatement(
        "add_unclassified_answer",
        """
        insert into evergrant.unclassified_answers as u
            (oauth_app_id, host, shape, status, code, sample, request_id, seen)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (oauth_app_id, host, shape) do update set seen = u.seen + excluded.seen,
            sample = excluded.sample, request_id = excluded.request_id, last_at = now()
        """)

    /// Index: primary key.
    static let trimStatement = PostgresStatement(
        "trim_unclassified_answers",
        """
        delete from evergrant.unclassified_answers u where u.oauth_app_id = $1 and u.host = $2 and u.shape in (
            select w.shape from evergrant.unclassified_answers w where w.oauth_app_id = $1 and w.host = $2
            order by w.last_at desc, w.shape offset $3)
        """)

    static let listStatement = PostgresStatement(
        "list_unclassified_answers",
        """
        select a.uid, a.provider, u.host, u.shape, u.status, u.code, u.sample, u.request_id, u.seen, u.first_at,
            u.last_at
        from evergrant.oauth_apps a join evergrant.unclassified_answers u on u.oauth_app_id = a.id
        where a.environment_id = $1 order by u.last_at desc, u.shape limit $2
        """)
}
