import Foundation
import Pacing
import Postgres

/// A member whose job begins.
package struct BegunMember: Sendable {
    package enum Verdict: String, Sendable {
        case go
        /// Its row is not there any more.
        case gone
        /// It was selected and is not any more.
        case changed
    }
    /// `cmp_…` of its campaign.
    package let campaign: String
    package let action: CampaignAction
    package let environmentID: Int64
    /// `connection`, `oauth_app` or `webhook_endpoint`.
    package let subject: String
    package let subjectID: Int64
    /// Of the connection, when its job first began: a newer one means that the work is done.
    package let generation: Int64?
    /// The selection names `broken`: a refresh may begin there.
    package let reopens: Bool
    package let verdict: Verdict
}

/// What schedulers and workers do with campaigns. Each call is one short transaction, or takes part in the caller's.
package enum CampaignMembers {
    /// Writes down one batch of members of one campaign that gathers.
    /// - Returns: false when none gathers.
    package static func gather(batch: Int, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(gatherStatement, [.int4(Int32(batch))]).first?.decode(Bool.self) ?? false
    }

    /// Takes the members whose turn it is. The caller enqueues their jobs in the same transaction.
    /// - Parameter window: members that are admitted and not ended, over all campaigns.
    package static func admit(window: Int, in transaction: any PostgresQuerying) async throws
        -> [(campaign: Int64, environmentID: Int64, place: Int64)]
    {
        try await transaction.execute(admitStatement, [.int4(Int32(window))]).map { row in
            let (campaign, environment, place) = try row.decode(Int64.self, Int64.self, Int64.self)
            return (campaign, environment, place)
        }
    }

    /// Ends what is cancelled, and puts back members whose jobs have given no sign for `lease`.
    /// - Returns: how many members changed.
    package static func tend(batch: Int, lease: Duration, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(tendStatement, [.int4(Int32(batch)), .float8(lease.seconds)]).first?.decode(Int.self) ?? 0
    }

    /// Deletes members of campaigns that ended longer ago than `keep`. Their counts stay.
    package static func prune(keep: Duration, batch: Int, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(pruneStatement, [.float8(keep.seconds), .int4(Int32(batch))]).first?.decode(Int.self) ?? 0
    }

    /// - Returns: nil when there is nothing to do for this member now: it has ended, or its campaign is paused or cancelled.
    package static func begin(campaign: Int64, place: Int64, in db: any PostgresQuerying) async throws -> BegunMember? {
        guard let row = try await db.execute(beginStatement, [.int8(campaign), .int8(place)]).first else { return nil }
        let (uid, action, environment, subject, id, generation, reopens, verdict) = try row.decode(
            String.self, String.self, Int64.self, String.self, Int64.self, Int64?.self, Bool.self, String.self)
        return BegunMember(
            campaign: uid, action: try ConnectionRecord.known(action, "action"), environmentID: environment,
            subject: subject,
            subjectID: id, generation: generation, reopens: reopens,
            verdict: try ConnectionRecord.known(verdict, "verdict"))
    }

    /// Writes and counts an outcome; a repeat changes nothing.
    /// - Returns: how many members ended.
    @discardableResult
    package static func end(
        campaign: Int64, place: Int64, outcome: CampaignOutcome, detail: String?, in db: any PostgresQuerying
    ) async throws -> Int {
        try await db.execute(
            endStatement,
            [.int8(campaign), .int8(place), .text(outcome.rawValue), .optional(detail) { .text($0) }]
        ).first?.decode(Int.self) ?? 0
    }

    /// One more look at an attempt of somebody else.
    /// - Returns: how many there were; nil when the member does not run.
    package static func wait(campaign: Int64, place: Int64, in db: any PostgresQuerying) async throws -> Int? {
        try await db.execute(waitStatement, [.int8(campaign), .int8(place)]).first?.decode(Int?.self) ?? nil
    }

    /// One `connection.reconnect_requested` for the identity of this member; ends its members.
    package static func tellReconnect(campaign: Int64, place: Int64, in db: any PostgresQuerying) async throws
        -> (told: Int, skipped: Int)
    {
        guard let row = try await db.execute(tellStatement, [.int8(campaign), .int8(place)]).first else {
            return (0, 0)
        }
        let (told, skipped) = try row.decode(Int.self, Int.self)
        return (told, skipped)
    }

    /// Index: campaigns_at_work. Lock: one campaign, skipping those that are locked.
    private static let gatherStatement = PostgresStatement("gather_campaign", "select evergrant.gather_campaign($1)")

    /// Index: campaigns_at_work, campaign_members_by_state. Lock: each campaign, skipping those that are locked.
    private static let admitStatement = PostgresStatement(
        "admit_campaigns", "select a.campaign, a.environment, a.place from evergrant.admit_campaigns($1) a")

    private static let tendStatement = PostgresStatement("tend_campaigns", "select evergrant.tend_campaigns($1, $2)")

    private static let pruneStatement = PostgresStatement("prune_campaigns", "select evergrant.prune_campaigns($1, $2)")

    /// Index: primary keys. Lock: the member.
    private static let beginStatement = PostgresStatement(
        "begin_campaign_member",
        """
        select b.uid, b.action, b.environment, b.subject, b.subject_id, b.generation, b.reopens, b.verdict
        from evergrant.begin_campaign_member($1, $2) b
        """)

    private static let endStatement = PostgresStatement(
        "end_campaign_member", "select evergrant.end_campaign_member($1, $2, $3, $4)")

    private static let waitStatement = PostgresStatement(
        "wait_campaign_member", "select evergrant.wait_campaign_member($1, $2)")

    private static let tellStatement = PostgresStatement(
        "tell_reconnect", "select t.told, t.skipped from evergrant.tell_reconnect($1, $2) t")
}
