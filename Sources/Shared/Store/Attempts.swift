import Credentials
import Foundation
import Pacing
import Postgres

/// The marks of attempts, and what they lead to. Each statement compares the nonce, so a process that others have
/// given up changes nothing; each takes the connection's row and only then what hangs on it.
package enum Attempts {
    /// Marks a connection as being attempted: the fleet-wide single flight.
    /// - Parameters:
    ///   - generation: only when the row still has it; nil for whatever it has.
    ///   - length: until the deadline, by the database's clock.
    ///   - known: the newest beat of the server that this process has seen.
    /// - Returns: nil when another attempt is open, the generation moved, or the state is not among `states`.
    package static func mark(
        _ mark: AttemptMark, kind: AttemptKind, owner: String, generation: Int64?, states: [ConnectionState],
        length: Duration, known: Date? = nil, in db: any PostgresQuerying
    ) async throws -> MarkedAttempt? {
        let known = PostgresParameter.optional(known) { .timestamptz($0) }
        let rows = try await db.execute(
            markStatement,
            [
                .int8(mark.connectionID), .uuid(mark.nonce), .text(kind.rawValue), .text(owner),
                .float8(length.seconds), .optional(generation) { .int8($0) },
                .textArray(states.map(\.rawValue)), known,
            ])
        return try await attempt(rows, mark, known: known, in: db)
    }

    /// Takes over an attempt that is open past its deadline. Its generation becomes ambiguous: it may have been sent.
    package static func takeOver(
        from old: UUID, as mark: AttemptMark, owner: String, length: Duration, in db: any PostgresQuerying
    ) async throws -> MarkedAttempt? {
        let rows = try await db.execute(
            takeOverStatement,
            [.int8(mark.connectionID), .uuid(mark.nonce), .uuid(old), .text(owner), .float8(length.seconds), .null])
        return try await attempt(rows, mark, known: .null, in: db)
    }

    /// Gives one's own open attempt a new deadline, before another send under the same mark.
    package static func renew(_ mark: AttemptMark, length: Duration, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(
            renewStatement, [.int8(mark.connectionID), .uuid(mark.nonce), .float8(length.seconds)]
        ).first != nil
    }

    /// Ends the attempt without a token: the mark goes, the state and the next attempt are written.
    /// - Returns: false when the mark was no longer ours; nothing was changed then.
    package static func end(
        _ mark: AttemptMark, grantID: UUID, generation: Int64, as ending: AttemptEnding, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            endStatement,
            [
                .int8(mark.connectionID), .uuid(mark.nonce), .uuid(grantID), .int8(generation),
                .text(ending.state.rawValue), .optional(ending.reason?.rawValue) { .text($0) },
                .optional(ending.nextAttemptIn?.seconds) { .float8($0) }, .bool(ending.countsFailure),
                .bool(ending.becomesAmbiguous),
            ]
        ).first != nil
    }

    /// Leaves the mark, says that the answer is unknown, and sets when recovery may begin.
    package static func leaveOpen(
        _ mark: AttemptMark, recoverIn delay: Duration, countsFailure: Bool = false, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            leaveOpenStatement,
            [.int8(mark.connectionID), .uuid(mark.nonce), .float8(delay.seconds), .bool(countsFailure)]
        ).first != nil
    }

    /// The commit of a refresh, as a statement for a pipeline: one row when it took place, none when it lost.
    ///
    /// Compare-and-set on grant, generation and nonce. The answer of generation `generation` becomes `generation + 1`;
    /// the previous token set is kept until the new one has worked. Ambiguity goes only when the token that was
    /// presented is newer than the ambiguous one.
    package static func commitStatement(
        _ mark: AttemptMark, grantID: UUID, generation: Int64, tokens: NewTokenSet
    ) -> (PostgresStatement, [PostgresParameter]) {
        (commit, commitParameters(mark, grantID, generation, tokens))
    }

    /// Installs an answer whatever nonce or state it finds: one to the row's own generation that lost its mark, where a
    /// token has one successor (`strict`), or one that is ahead of the row because a change of server lost the commits
    /// between. Another's open mark stays until he ends.
    package static func commitSuccessor(
        _ mark: AttemptMark, grantID: UUID, generation: Int64, tokens: NewTokenSet, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(commitWithoutMark, commitParameters(mark, grantID, generation, tokens)).first != nil
    }

    /// A token of this generation was presented and its answer is not known.
    /// - Parameter exactly: false also where the row is behind that generation, and so lacks what came between.
    package static func doubt(
        connectionID: Int64, grantID: UUID, generation: Int64, since: Date, exactly: Bool,
        in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            doubtStatement,
            [.int8(connectionID), .uuid(grantID), .int8(generation), .timestamptz(since), .bool(exactly)])
    }

    /// The attempts that are open past their deadline, oldest first; with `connectionID`, that one's only.
    package static func openPastDeadline(
        limit: Int, connectionID: Int64? = nil, in db: any PostgresQuerying
    ) async throws -> [OpenAttempt] {
        let parameters: [PostgresParameter] = [.int4(Int32(limit)), .optional(connectionID) { .int8($0) }]
        return try await db.execute(openStatement, parameters).map { row in
            let (connection, environment, nonce, kind, state, provider, parameters) = try row.decode(
                Int64.self, Int64.self, UUID.self, String.self, String.self, String.self, [UInt8].self)
            let (startedAt, expires, now, ambiguousSince, generation, grantID) = try row.decode(
                from: 7, Date.self, Date?.self, Date.self, Date?.self, Int64.self, UUID.self)
            return OpenAttempt(
                connectionID: connection, environmentID: environment, nonce: nonce, kind: kind,
                state: try ConnectionRecord.known(state, "state"), provider: provider, appParameters: parameters,
                startedAt: startedAt, accessExpiresAt: expires, now: now, ambiguousSince: ambiguousSince,
                generation: generation, grantID: grantID)
        }
    }

    /// Claims up to `limit` connections whose refresh is due: their due time moves ahead by `claim`, so that a job
    /// that is lost strands nobody. Any number of processes may sweep at once.
    /// - Parameter horizon: grants that are lost within it go before all others, the nearest loss first.
    /// - Returns: most urgent first.
    package static func claimDue(limit: Int, claim: Duration, horizon: Duration, in db: any PostgresQuerying)
        async throws -> [DueConnection]
    {
        try await db.execute(
            claimDueStatement, [.int8(Int64(limit)), .float8(claim.seconds), .float8(horizon.seconds)]
        ).map { row in
            let (id, environment, generation, ambiguous) = try row.decode(
                Int64.self, Int64.self, Int64.self, Bool.self)
            let (provider, app) = try row.decode(from: 4, String.self, Int64?.self)
            return DueConnection(
                id: id, environmentID: environment, generation: generation, isAmbiguous: ambiguous,
                provider: provider, oauthAppID: app)
        }
    }

    /// Moves the due times of claimed connections so far ahead, each by its own wait.
    package static func postpone(_ waits: [(id: Int64, wait: Duration)], in db: any PostgresQuerying) async throws {
        try await db.execute(
            postponeStatement, [.int8Array(waits.map(\.id)), .float8Array(waits.map(\.wait.seconds))])
    }

    /// Makes a connection due now; used when an alternate arrives and when a caller finds the token refused.
    package static func makeDue(connectionID: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(makeDueStatement, [.int8(connectionID)])
    }

    private static func commitParameters(
        _ mark: AttemptMark, _ grantID: UUID, _ generation: Int64, _ tokens: NewTokenSet
    ) -> [PostgresParameter] {
        [
            .int8(mark.connectionID), .uuid(mark.nonce), .uuid(grantID), .int8(generation), .bytea(tokens.sealed),
            .timestamptz(tokens.schedule.accessIssuedAt),
            .optional(tokens.schedule.accessExpiresAt) { .timestamptz($0) },
            .optional(tokens.schedule.refreshDueAt) { .timestamptz($0) },
            .optional(tokens.schedule.endsAt) { .timestamptz($0) },
            .optional(tokens.schedule.grantedScopes) { .textArray($0) },
            .optional(tokens.schedule.keepAliveAt) { .timestamptz($0) },
            .optional(tokens.schedule.usedSince) { .timestamptz($0) },
            .optional(tokens.schedule.idleEndsAt) { .timestamptz($0) },
            .optional(tokens.schedule.warnDueAt) { .timestamptz($0) },
        ]
    }

    private static func attempt(
        _ rows: PostgresRows, _ mark: AttemptMark, known: PostgresParameter, in db: any PostgresQuerying
    ) async throws -> MarkedAttempt? {
        guard var row = rows.first else { return nil }
        // The join was read with the statement's snapshot, which may be older than the row it waited for.
        if try row["sealed", as: [UInt8]?.self] == nil {
            guard
                let again = try await db.execute(
                    rereadStatement, [.int8(mark.connectionID), .uuid(mark.nonce), known]
                ).first,
                try again["sealed", as: [UInt8]?.self] != nil
            else { return nil }
            row = again
        }
        let (uid, environment, integration, provider, state, grant, generation) = try row.decode(
            UUID.self, Int64.self, String.self, String.self, String.self, UUID.self, Int64.self)
        let (ambiguousSince, startedAt, deadline, tries, failures, expires, ends, scopes) = try row.decode(
            from: 7, Date?.self, Date.self, Date.self, Int32.self, Int32.self, Date?.self, Date?.self, [String]?.self)
        let (sealed, previous, previousGeneration, issuedAt) = try row.decode(
            from: 15, [UInt8].self, [UInt8]?.self, Int64?.self, Date.self)
        let (appID, appUID, clientID, secret, version, parameters, suspendedAt, probeDueAt) = try row.decode(
            from: 19, Int64?.self, String?.self, String?.self, [UInt8]?.self, Int64?.self, [UInt8]?.self, Date?.self,
            Date?.self)
        let (otherSecret, otherVersion, otherRole, workingVersion) = try row.decode(
            from: 27, [UInt8]?.self, Int64?.self, String?.self, Int64?.self)
        var app: AppAtMark?
        if let appID, let appUID, let clientID {
            app = AppAtMark(
                id: appID, uid: appUID, clientID: clientID, sealedSecret: secret, secretVersion: version ?? 1,
                other: OtherClientSecret(sealed: otherSecret, version: otherVersion, role: otherRole),
                workingVersion: workingVersion,
                parameters: parameters ?? Array("{}".utf8), suspendedAt: suspendedAt, probeDueAt: probeDueAt)
        }
        return MarkedAttempt(
            mark: mark, uid: uid, environmentID: environment, integration: integration, provider: provider,
            state: try ConnectionRecord.known(state, "state"), grantID: grant, generation: generation,
            ambiguousSince: ambiguousSince, startedAt: startedAt, deadline: deadline, tries: Int(tries),
            failures: Int(failures), accessExpiresAt: expires, endsAt: ends, grantedScopes: scopes, sealed: sealed,
            previousSealed: previous, previousGeneration: previousGeneration, issuedAt: issuedAt, app: app,
            isHeld: try row["is_held", as: Bool.self])
    }
}
