import Jobs
import Pacing
import Postgres
import Queue
import Store

/// Limits of campaigns.
package struct CampaignLimits: Sendable, Hashable {
    /// `campaigns.in_flight`: members that are in line or at work, over all campaigns and the whole fleet. Half of one
    /// worker's slots, so that campaigns of a provider that hangs leave room for what is due.
    package var inFlight = 32
    /// `campaigns.keep_members`: how long the members of a campaign can be listed after its end. Its counts stay.
    package var keepMembers: Duration = .seconds(30 * 86_400)
    /// Connections looked at by one transaction of the snapshot.
    package var gatherBatch = 5000

    package init() {}
}

/// What schedulers do for campaigns. Any number may do it at once: campaigns are claimed by their rows, and everything
/// that is decided stands in them, so a scheduler that dies leaves nothing half done.
package struct CampaignPlanner: Sendable {
    private let services: LifecycleServices
    private let limits: CampaignLimits

    package init(_ services: LifecycleServices, limits: CampaignLimits = CampaignLimits()) {
        self.services = services
        self.limits = limits
    }

    /// Writes down one batch of members of one campaign.
    /// - Returns: true when there may be more.
    package func gather() async throws -> Bool {
        try await CampaignMembers.gather(batch: limits.gatherBatch, in: services.pool)
    }

    /// Enqueues the members whose turn it is, in the bulk lane; ends campaigns that have none left.
    /// - Returns: how many.
    @discardableResult
    package func admit() async throws -> Int {
        let count = try await services.pool.transaction { transaction in
            let members = try await CampaignMembers.admit(window: limits.inFlight, in: transaction)
            let jobs = try members.map { member in
                let arguments = CampaignMemberJob(campaign: member.campaign, place: member.place)
                return try arguments.job(
                    environmentID: member.environmentID, priority: .bulk, uniqueKey: arguments.uniqueKey)
            }
            if !jobs.isEmpty { _ = try await services.queue.enqueue(jobs, in: transaction) }
            return jobs.count
        }
        if count > 0 { await services.queue.wakeRunners() }
        return count
    }

    /// Ends what is cancelled, and puts back members whose jobs were lost.
    /// - Returns: true when there may be more.
    package func tend() async throws -> Bool {
        try await CampaignMembers.tend(batch: 5000, lease: services.timings.claim, in: services.pool) >= 5000
    }

    /// Deletes members of campaigns that ended long ago.
    /// - Returns: true when there may be more.
    package func prune() async throws -> Bool {
        try await CampaignMembers.prune(keep: limits.keepMembers, batch: 5000, in: services.pool) > 0
    }
}
