import ArgumentParser
import Bootstrap
import Front
import Lifecycle
import ServiceLifecycle

struct FrontCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "front", abstract: "Serve HTTP: API, connect window, OAuth callbacks, passthrough.",
        discussion: """
            Run as many as you like behind a load balancer. Metrics and health have a listener of their own. Each \
            front needs an escrow journal on a disk that outlives it.
            """)

    @OptionGroup var options: ProcessOptions
    @Option(name: .long, help: "Same as --set front.http_port=….")
    var port: Int?
    @Option(name: .long, help: "Same as --set front.admin_port=….")
    var adminPort: Int?
    @Flag(
        name: .long,
        help: "Run without a journal: a crash at the wrong moment then loses a grant at providers that rotate strictly."
    )
    var noEscrow = false

    func run() async throws {
        var settings: [String: String] = [:]
        if let port { settings["front.http_port"] = String(port) }
        if let adminPort { settings["front.admin_port"] = String(adminPort) }
        if noEscrow { settings["escrow.enabled"] = "false" }
        try await options.run(.front, settings: settings) { parts, serve in
            let front = parts.configuration.front
            try PortCheck.require(host: front.host, port: front.port, setting: "front.http_port")
            try PortCheck.require(host: front.adminHost, port: front.adminPort, setting: "front.admin_port")
            let refresher = CredentialRefresher(parts.lifecycle)
            let application = try FrontApplication(
                options: front.options,
                services: FrontServices(
                    lifecycle: parts.lifecycle, refresher: refresher, connect: parts.connect, egress: parts.egress,
                    webhooks: parts.configuration.webhooks, prometheusText: parts.metrics.prometheusText))
            let recovery = EscrowRecovery(parts.lifecycle, connect: parts.connect, logger: parts.logger)
            await recovery.drain()
            try await serve([recovery, ProviderHealthService(parts.lifecycle), application])
            await refresher.drain()
        }
    }
}

extension FrontSettings {
    /// The front's own options.
    fileprivate var options: FrontOptions {
        var options = FrontOptions(
            publicAddress: ListenAddress(host: host, port: port),
            adminAddress: ListenAddress(host: adminHost, port: adminPort), publicURL: publicURL)
        options.maximumBodyBytes = maximumBodyBytes
        options.keyCacheLife = keyCacheLife
        options.callsPerConnection = callsPerConnection
        options.feedWait = feedWait
        options.passthroughTimeout = passthroughTimeout
        return options
    }
}
