import Connect
import Egress
import Lifecycle
import Webhooks

/// The configuration of a process: one value a concern, read once, whole or not at all.
package struct EvergrantConfiguration: Sendable {
    /// What a process cannot do without.
    package struct Needs: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        package static let database = Needs(rawValue: 1)
        package static let keyring = Needs(rawValue: 2)
    }

    package var log: LogConfiguration
    package var database: DatabaseConfiguration
    package var keyring: KeyringConfiguration
    package var front: FrontSettings
    package var worker: WorkerConfiguration
    package var scheduler: SchedulerConfiguration
    package var escrow: EscrowConfiguration
    package var connect: ConnectLimits
    package var egress: EgressConfiguration
    package var webhooks: WebhookConfiguration
    package var timings: LifecycleTimings
    package var catalog: CatalogConfiguration

    /// Every key of every concern, in the order of the documentation.
    package static let rows =
        DatabaseConfiguration.rows + KeyringConfiguration.rows + FrontSettings.rows + ConnectSettings.rows
        + WorkerConfiguration.rows
        + SchedulerConfiguration.rows + EscrowConfiguration.rows + LifecycleSettings.rows + ProviderHealthSettings.rows
        + EgressSettings.rows + WebhookSettings.rows + SchedulerConfiguration.auditRows + CatalogConfiguration.rows
        + LogConfiguration.rows

    /// Reads all of it.
    /// - Throws: ``ConfigurationError`` with every fault: texts that are no values, unknown keys, missing ones.
    package init(_ sources: ConfigurationSources, needs: Needs = []) throws(ConfigurationError) {
        let reader = SettingsReader(sources)
        log = LogConfiguration(reading: reader)
        database = DatabaseConfiguration(reading: reader, isRequired: needs.contains(.database))
        keyring = KeyringConfiguration(reading: reader, isRequired: needs.contains(.keyring))
        front = FrontSettings(reading: reader)
        worker = WorkerConfiguration(reading: reader)
        scheduler = SchedulerConfiguration(reading: reader)
        escrow = EscrowConfiguration(reading: reader)
        connect = ConnectLimits(reading: reader)
        egress = EgressConfiguration(reading: reader)
        webhooks = WebhookConfiguration(reading: reader)
        timings = LifecycleTimings(reading: reader)
        catalog = CatalogConfiguration(reading: reader)
        reader.checkNames(Self.rows)
        if !reader.faults.isEmpty { throw ConfigurationError(faults: reader.faults) }
    }
}
