import Pacing

/// How often the scheduler looks for what is due, and how much it takes at once.
package struct SchedulerConfiguration: Sendable, Hashable {
    static let sweepSetting = Setting(
        "scheduler.sweep_interval", .duration(.milliseconds(10) ... .seconds(300)), default: .seconds(1),
        "Time between two looks for refreshes, validations and open attempts that are due.")
    static let batchSetting = Setting(
        "scheduler.sweep_batch", .integer(1...100_000), default: 500, "Most connections planned by one statement.")

    static let adminHostSetting = Setting(
        "scheduler.admin_host", .text, default: "127.0.0.1", "Address of `/metrics`, `/healthz` and `/readyz`.")
    static let adminPortSetting = Setting(
        "scheduler.admin_port", .optional(.integer(1...65535)), default: nil,
        "Port of `/metrics`, `/healthz` and `/readyz`; none without it.")

    static let sealSetting = Setting(
        "audit.seal_interval", .duration(.milliseconds(100) ... .seconds(3600)), default: .seconds(5),
        "Time between two seals of the audit's chain.")
    static let keepAuditSetting = Setting(
        "audit.keep", .duration(.seconds(86_400) ... .seconds(36_500 * 86_400)), default: .seconds(400 * 86_400),
        "How long rows of the audit stay; what is older is pruned behind a checkpoint.")

    package static let auditRows = [sealSetting.row, keepAuditSetting.row]
    package static let rows = [sweepSetting.row, batchSetting.row, adminHostSetting.row, adminPortSetting.row]

    package var sweepInterval: Duration
    package var sweepBatch: Int
    package var adminHost: String
    package var adminPort: Int?
    package var sealInterval: Duration
    package var keepAudit: Duration

    package init(reading reader: SettingsReader) {
        sweepInterval = reader.value(Self.sweepSetting)
        sweepBatch = reader.value(Self.batchSetting)
        adminHost = reader.value(Self.adminHostSetting)
        adminPort = reader.value(Self.adminPortSetting)
        sealInterval = reader.value(Self.sealSetting)
        keepAudit = reader.value(Self.keepAuditSetting)
    }
}
