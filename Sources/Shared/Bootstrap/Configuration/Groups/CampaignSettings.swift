import Lifecycle
import Pacing

/// Limits of campaigns, from configuration.
enum CampaignSettings {
    private static let standard = CampaignLimits()

    static let inFlight = Setting(
        "campaigns.in_flight", .integer(1...10_000), default: standard.inFlight,
        "Most members of campaigns in line or at work over the fleet; less than `worker.concurrency` keeps slots free.")
    static let keepMembers = Setting(
        "campaigns.keep_members", .duration(.seconds(60) ... .seconds(3660 * 86_400)), default: standard.keepMembers,
        "How long the members of a campaign can be listed after its end; its counts stay.")

    static let rows = [inFlight.row, keepMembers.row]
}

extension CampaignLimits {
    init(reading reader: SettingsReader) {
        self.init()
        inFlight = reader.value(CampaignSettings.inFlight)
        keepMembers = reader.value(CampaignSettings.keepMembers)
    }
}
