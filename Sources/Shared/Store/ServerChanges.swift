import Credentials
import Foundation
import Pacing
import Postgres

/// What a process saw of the database server in one look.
package struct ServerSight: Sendable, Hashable {
    /// Why nothing that rotates may be presented.
    package enum Hold: String, Sendable {
        /// The last commits may be missing; the journals have them.
        case failover
        /// More is missing than journals keep; an operator releases it.
        case restored
    }

    /// Counts the changes of server.
    package let epoch: Int64
    /// The newest beat; a process that meets an older one later knows that commits were lost.
    package let beat: Date
    package let heldSince: Date?
    package let hold: Hold?
    /// This look found the change.
    package let isNoticedNow: Bool
    /// How often the looking process's journal was replayed for this epoch.
    package let rounds: Int
    /// Whether every journal that was heard of lately has been replayed once.
    package let isEveryJournalReplayed: Bool
}

/// A journal that the hold waits for.
package struct WaitingJournal: Sendable, Hashable {
    package let incarnation: UUID
    package let owner: String
    package let seenAt: Date
    package let rounds: Int
}

/// Rows of `evergrant.server_watch` and `evergrant.escrow_journals`: is the database the one we know?
package enum ServerChanges {
    /// Looks at the server, keeps the beat going, and registers this process's journal.
    /// - Parameters:
    ///   - known: the newest beat this process, or its escrow directory, remembers.
    ///   - retention: how long journals keep their lines.
    ///   - journal: this process's; nil when it has none.
    package static func look(
        known: Date?, retention: Duration, journal: UUID?, owner: String, in db: any PostgresQuerying
    ) async throws -> ServerSight {
        let rows = try await db.execute(
            lookStatement,
            [
                .optional(known) { .timestamptz($0) }, .float8(retention.seconds), .optional(journal) { .uuid($0) },
                .text(owner),
            ])
        guard let row = rows.first else { throw MissingRow(statement: "watch_server") }
        let (epoch, beat, heldSince, because, noticed, rounds, all) = try row.decode(
            Int64.self, Date.self, Date?.self, String?.self, Bool.self, Int32.self, Bool.self)
        return ServerSight(
            epoch: epoch, beat: beat, heldSince: heldSince,
            hold: heldSince == nil ? nil : because.flatMap(ServerSight.Hold.init) ?? .failover, isNoticedNow: noticed,
            rounds: Int(rounds), isEveryJournalReplayed: all)
    }

    /// Says that a journal has been replayed for the `round`th time after the change `epoch`.
    package static func report(
        journal: UUID, owner: String, epoch: Int64, round: Int, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            reportStatement, [.uuid(journal), .text(owner), .int8(epoch), .int4(Int32(round))])
    }

    /// A journal whose files are gone.
    package static func forget(journal: UUID, in db: any PostgresQuerying) async throws {
        try await db.execute(forgetStatement, [.uuid(journal)])
    }

    /// Ends the hold of a failover when it may.
    /// - Returns: the journals that stayed silent, when this call ended it; nil when it did not.
    package static func release(
        attempt: Duration, patience: Duration, in db: any PostgresQuerying
    ) async throws -> [String]? {
        try await db.execute(releaseStatement, [.float8(attempt.seconds), .float8(patience.seconds)]).first.map {
            let (_, silent) = try $0.decode(Bool.self, [String].self)
            return silent
        }
    }

    /// Whether nothing may be presented that rotates, and no refusal believed.
    package static func isHeld(known: Date?, in db: any PostgresQuerying) async throws -> Bool {
        let rows = try await db.execute(heldStatement, [.optional(known) { .timestamptz($0) }])
        return try rows.first?.decode(Bool.self) ?? false
    }

    /// The row as it stands; nil when no process has looked yet.
    package static func state(in db: any PostgresQuerying) async throws -> (
        epoch: Int64, heldSince: Date?, hold: ServerSight.Hold?, lostSince: Date?
    )? {
        try await db.execute(stateStatement, []).first.map {
            let (epoch, held, because, lost) = try $0.decode(Int64.self, Date?.self, String?.self, Date?.self)
            return (epoch, held, because.flatMap(ServerSight.Hold.init), lost)
        }
    }

    /// The journals that the present hold waits for.
    package static func waiting(in db: any PostgresQuerying) async throws -> [WaitingJournal] {
        try await db.execute(waitingStatement, []).map {
            let (incarnation, owner, seen, rounds) = try $0.decode(UUID.self, String.self, Date.self, Int32.self)
            return WaitingJournal(incarnation: incarnation, owner: owner, seenAt: seen, rounds: Int(rounds))
        }
    }

    /// Makes the generations of a batch of connections ambiguous, as they are when commits were lost beyond repair: a
    /// refusal is then our loss and not the user's doing.
    /// - Parameter after: the id where the last batch ended; 0 to begin.
    /// - Returns: where this batch ended; nil when there was nothing more.
    package static func doubt(
        after: Int64, limit: Int, in db: any PostgresQuerying
    ) async throws -> Int64? {
        let rows = try await db.execute(doubtStatement, [.int8(after), .int4(Int32(limit))])
        return try rows.first.flatMap { try $0.decode(Int64?.self) }
    }

    /// Ends any hold; the operator's word.
    /// - Returns: whether there was one.
    package static func releaseByHand(in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(byHandStatement, []).first != nil
    }

    private static let lookStatement = PostgresStatement(
        "watch_server", "select * from evergrant.watch_server($1, make_interval(secs => $2), $3, $4)")

    private static let reportStatement = PostgresStatement(
        "report_journal",
        """
        insert into evergrant.escrow_journals as j (incarnation, owner, drained_epoch, drained_round, reported_at)
        values ($1, $2, $3, $4, clock_timestamp())
        on conflict (incarnation) do update set drained_epoch = $3, reported_at = clock_timestamp(),
            drained_round = case when j.drained_epoch = $3 then greatest(j.drained_round, $4) else $4 end
        """)

    private static let forgetStatement = PostgresStatement(
        "forget_journal", "delete from evergrant.escrow_journals where incarnation = $1")

    private static let releaseStatement = PostgresStatement(
        "release_server",
        "select * from evergrant.release_server(make_interval(secs => $1), make_interval(secs => $2))")

    private static let heldStatement = PostgresStatement(
        "is_server_held", "select evergrant.server_is_held($1)")

    private static let stateStatement = PostgresStatement(
        "read_server_watch", "select epoch, held_since, held_because, lost_since from evergrant.server_watch")

    private static let waitingStatement = PostgresStatement(
        "list_waiting_journals",
        """
        select j.incarnation, j.owner, j.seen_at, case when j.drained_epoch = w.epoch then j.drained_round else 0 end
        from evergrant.server_watch w join evergrant.escrow_journals j
            on j.drained_epoch < w.epoch or j.drained_round < 2
        where w.held_since is not null order by j.seen_at
        """)

    /// Index: primary key, in order.
    private static let doubtStatement = PostgresStatement(
        "doubt_generations",
        """
        with batch as (
            select id from evergrant.connections where id > $1 order by id limit $2),
        doubted as (
            update evergrant.connections c set ambiguous_generation = c.generation, ambiguous_since = clock_timestamp()
            from batch where c.id = batch.id and c.oauth_app_id is not null
                and c.state in ('active', 'degraded', 'suspected')
                and c.ambiguous_generation is distinct from c.generation)
        select max(id) from batch
        """)

    private static let byHandStatement = PostgresStatement(
        "release_server_by_hand",
        """
        update evergrant.server_watch set held_since = null, held_because = null, released_at = clock_timestamp()
        where held_since is not null returning epoch
        """)
}
