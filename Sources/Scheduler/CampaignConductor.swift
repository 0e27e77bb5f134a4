import Lifecycle
import Logging

/// The duties of campaigns. Admission looks often and takes little: what is admitted at a time is bounded, so that what is
/// due never waits behind a campaign, and a campaign is as fast as its jobs end.
struct CampaignConductor: Sendable {
    let planner: CampaignPlanner

    func duties(logger: Logger) -> [PeriodicDuty] {
        [
            PeriodicDuty(name: "gather_campaigns", interval: .milliseconds(500), logger: logger) {
                try await planner.gather()
            },
            PeriodicDuty(name: "admit_campaigns", interval: .milliseconds(100), logger: logger) {
                try await planner.admit()
                return false
            },
            PeriodicDuty(name: "tend_campaigns", interval: .seconds(1), logger: logger) { try await planner.tend() },
            PeriodicDuty(name: "prune_campaigns", interval: .seconds(600), logger: logger) {
                try await planner.prune()
            },
        ]
    }
}
