import Pacing

/// How many jobs a worker performs at once, and how it stops.
package struct WorkerConfiguration: Sendable, Hashable {
    static let concurrencySetting = Setting(
        "worker.concurrency", .integer(1...10_000), default: 64, "Jobs performed at once by one process.")
    static let pollSetting = Setting(
        "worker.poll_interval", .duration(.milliseconds(1) ... .seconds(60)), default: .milliseconds(50),
        "Longest wait between two looks for work while idle.")
    static let graceSetting = Setting(
        "worker.shutdown_grace", .duration(.seconds(1) ... .seconds(3600)), default: .seconds(45),
        "After SIGTERM, time for jobs in hand to end; what is left then is given back by its lease.")

    static let adminHostSetting = Setting(
        "worker.admin_host", .text, default: "127.0.0.1", "Address of `/metrics`, `/healthz` and `/readyz`.")
    static let adminPortSetting = Setting(
        "worker.admin_port", .optional(.integer(1...65535)), default: nil,
        "Port of `/metrics`, `/healthz` and `/readyz`; none without it.")

    package static let rows = [
        concurrencySetting.row, pollSetting.row, graceSetting.row, adminHostSetting.row, adminPortSetting.row,
    ]

    package var concurrency: Int
    package var pollInterval: Duration
    package var shutdownGrace: Duration
    package var adminHost: String
    package var adminPort: Int?

    package init(reading reader: SettingsReader) {
        concurrency = reader.value(Self.concurrencySetting)
        pollInterval = reader.value(Self.pollSetting)
        shutdownGrace = reader.value(Self.graceSetting)
        adminHost = reader.value(Self.adminHostSetting)
        adminPort = reader.value(Self.adminPortSetting)
    }
}
