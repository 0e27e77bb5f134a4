import Bootstrap
import Foundation

/// What `evergrant up` was asked for.
struct FleetOptions: Sendable {
    let directory: String
    let sandboxPort: Int
    /// Values of the command line, by key; children get them as environment variables.
    let settings: [String: String]
    let file: String?

    /// Reads the configuration, with what a single machine needs filled in where nobody gave it.
    /// - Throws: `ConfigurationError`.
    func load() throws(ConfigurationError) -> EvergrantConfiguration {
        var configuration = try EvergrantConfiguration(sources(settings))
        if configuration.keyring.files.isEmpty, configuration.keyring.keys == nil {
            configuration.keyring.files = [FleetDirectory(path: directory).keyring]
        }
        if configuration.catalog.sandboxURL == nil { configuration.catalog.sandboxURL = sandboxURL }
        let admin = configuration.front.adminPort
        if configuration.worker.adminPort == nil { configuration.worker.adminPort = admin + 1 }
        if configuration.scheduler.adminPort == nil { configuration.scheduler.adminPort = admin + 2 }
        return configuration
    }

    private func sources(_ values: [String: String]) -> ConfigurationSources {
        ConfigurationSources(commandLine: values, file: file)
    }

    var sandboxURL: String { "http://127.0.0.1:\(sandboxPort)" }

    func sandboxArguments(_ directory: FleetDirectory) -> [String] {
        ["sandbox", "--port", String(sandboxPort), "--state", directory.sandboxState, "--stop-with-stdin"]
    }

    /// What children read: our own environment, the command line's values as variables, and the places in the
    /// directory where nobody gave others. Webhook receivers may be on this machine.
    func childEnvironment(_ directory: FleetDirectory, _ configuration: EvergrantConfiguration) -> [String: String] {
        var environment = ProcessInfo.processInfo.environment
        for (key, value) in settings { environment[SettingRow.variable(of: key)] = value }
        if let file { environment["EVERGRANT_CONFIG"] = file }
        let reader = SettingsReader(sources(settings))
        func fill(_ key: String, _ value: String) {
            if !reader.isGiven(key) { environment[SettingRow.variable(of: key)] = value }
        }
        if configuration.keyring.files == [directory.keyring] { fill("keyring.files", directory.keyring) }
        fill("escrow.directory", directory.journal)
        fill("sandbox.url", sandboxURL)
        fill("webhooks.allowed_networks", "127.0.0.0/8,::1/128")
        fill("webhooks.allow_http", "true")
        if let port = configuration.worker.adminPort { fill("worker.admin_port", String(port)) }
        if let port = configuration.scheduler.adminPort { fill("scheduler.admin_port", String(port)) }
        fill("log.format", "json")
        return environment
    }
}
