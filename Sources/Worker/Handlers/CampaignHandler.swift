import Jobs
import Lifecycle
import Queue

/// One member of a campaign. What came of it is written on the member's row, and on the connection's as for any attempt.
struct CampaignHandler: JobHandler {
    let kind = CampaignMemberJob.kind
    let work: CampaignWork

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let arguments = try CampaignMemberJob(of: job)
        switch try await work.perform(
            campaign: arguments.campaign, place: arguments.place, environmentID: job.environmentID)
        {
        case .done: return .complete
        case .later(let wait): return .snooze(wait)
        }
    }
}
