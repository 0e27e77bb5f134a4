import Postgres

/// What is known of an `Idempotency-Key`.
package enum IdempotencyClaim: Sendable, Hashable {
    /// The caller's call is the first: do it, then ``IdempotencyKeys/complete(environmentID:key:status:sealedAnswer:in:)``.
    case first
    /// Another request came under this key.
    case mismatch
    /// The first call has not ended.
    case atWork
    /// The first call's status, and its answer, sealed; nil when it held a secret and was not kept.
    case done(status: Int, sealedAnswer: [UInt8]?)
}

/// The rows of `evergrant.idempotency_keys`.
package enum IdempotencyKeys {
    /// Takes the key, or says what became of it. A key ends after `life`; one whose call never ended, after a minute.
    package static func claim(
        environmentID: Int64, key: String, requestHash: [UInt8], life: Duration, in db: any PostgresQuerying
    ) async throws -> IdempotencyClaim {
        let taken = try await db.execute(
            Statements.claim,
            [
                .int8(environmentID), .text(key), .bytea(requestHash), .float8(Double(life.components.seconds)),
            ])
        if taken.affected == 1 { return .first }
        guard let row = try await db.execute(Statements.find, [.int8(environmentID), .text(key)]).first else {
            return .atWork  // ended between the two statements; the caller's next try takes it
        }
        let (hash, status, answer) = try row.decode([UInt8].self, Int32?.self, [UInt8]?.self)
        guard hash == requestHash else { return .mismatch }
        guard let status else { return .atWork }
        return .done(status: Int(status), sealedAnswer: answer)
    }

    package static func complete(
        environmentID: Int64, key: String, status: Int, sealedAnswer: [UInt8]?, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            Statements.complete,
            [.int8(environmentID), .text(key), .int4(Int32(status)), .optional(sealedAnswer) { .bytea($0) }])
    }

    /// Gives the key back: the call failed at us, and the same call may be made again.
    package static func release(environmentID: Int64, key: String, in db: any PostgresQuerying) async throws {
        try await db.execute(Statements.release, [.int8(environmentID), .text(key)])
    }

    package static func prune(limit: Int = 1000, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(Statements.prune, [.int4(Int32(limit))]).affected
    }

    private enum Statements {
        static let claim = PostgresStatement(
            "claim idempotency key",
            """
            insert into evergrant.idempotency_keys as k (environment_id, key, request_hash, expires_at)
            values ($1, $2, $3, now() + make_interval(secs => $4))
            on conflict (environment_id, key) do update
                set request_hash = excluded.request_hash, status = null, answer = null, created_at = now(),
                    expires_at = excluded.expires_at
                where k.expires_at < now() or (k.status is null and k.created_at < now() - interval '1 minute')
            """)
        static let find = PostgresStatement(
            "find idempotency key",
            "select request_hash, status, answer from evergrant.idempotency_keys where environment_id = $1 and key = $2"
        )
        static let complete = PostgresStatement(
            "complete idempotency key",
            "update evergrant.idempotency_keys set status = $3, answer = $4 where environment_id = $1 and key = $2")
        static let release = PostgresStatement(
            "release idempotency key",
            "delete from evergrant.idempotency_keys where environment_id = $1 and key = $2 and status is null")
        static let prune = PostgresStatement(
            "prune idempotency keys",
            """
            delete from evergrant.idempotency_keys where (environment_id, key) in (
                select environment_id, key from evergrant.idempotency_keys where expires_at < now()
                order by expires_at limit $1 for update skip locked)
            """)
    }
}
