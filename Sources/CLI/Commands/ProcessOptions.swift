import ArgumentParser
import Bootstrap
import Logging
import Metrics
import ServiceLifecycle
import UnixSignals

/// What the three kinds of process have in common.
struct ProcessOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOptions

    @Flag(
        name: .long,
        help: "Stop in order when standard input ends, and ignore Ctrl-C: for a supervisor, which then need not live to stop it.")
    var stopWithStdin = false

    /// Makes log and metrics the process's, assembles its parts, runs what `services` makes of them until SIGTERM or
    /// Ctrl-C, and closes the parts.
    func run(
        _ role: ProcessRole, settings: [String: String] = [:],
        _ services: (ProcessServices) async throws -> [any Service]
    ) async throws {
        let stopper = stopWithStdin ? InputWatch.begin() : nil
        let configuration = try configuration.load(needs: [.database, .keyring], settings)
        let logger = configuration.log.bootstrap(label: role.rawValue)
        let metrics = MetricsRegistry()
        MetricsSystem.bootstrap(metrics)
        let parts = try await ProcessServices.assemble(configuration, role: role, metrics: metrics, logger: logger)
        do {
            try await Self.serve(
                try await services(parts), logger: logger, grace: configuration.worker.shutdownGrace,
                heedsInterrupt: stopper == nil)
        } catch {
            await parts.close()
            throw error
        }
        await parts.close()
        logger.notice("stopped", metadata: ["role": "\(role.rawValue)"])
    }

    /// Runs services until a signal, in order of dependence.
    /// - Parameter grace: after it what still runs is cancelled.
    static func serve(
        _ services: [any Service], logger: Logger, grace: Duration, heedsInterrupt: Bool
    ) async throws {
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) },
            gracefulShutdownSignals: heedsInterrupt ? [.sigterm, .sigint] : [.sigterm], logger: logger)
        configuration.maximumGracefulShutdownDuration = grace
        configuration.maximumCancellationDuration = .seconds(10)
        try await ServiceGroup(configuration: configuration).run()
    }
}
