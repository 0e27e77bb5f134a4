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
        help:
            "Stop in order when standard input ends, and ignore Ctrl-C: for a supervisor, which then need not live to stop it."
    )
    var stopWithStdin = false

    /// Runs services until SIGTERM or Ctrl-C.
    typealias Serve = ([any Service]) async throws -> Void

    /// Makes log and metrics the process's, assembles its parts, hands them to `body`, and closes them.
    /// - Parameter body: makes services of the parts and serves them.
    func run(
        _ role: ProcessRole, settings: [String: String] = [:],
        _ body: (ProcessServices, Serve) async throws -> Void
    ) async throws {
        let stopper = stopWithStdin ? InputWatch.begin() : nil
        let configuration = try configuration.load(needs: [.database, .keyring], settings)
        let logger = configuration.log.bootstrap(label: role.rawValue)
        let metrics = MetricsRegistry()
        MetricsSystem.bootstrap(metrics)
        let parts = try await ProcessServices.assemble(configuration, role: role, metrics: metrics, logger: logger)
        logger.notice("started", metadata: ["process": "\(role.owner)"])
        do {
            try await body(parts) { services in
                try await Self.serve(
                    services, logger: logger, grace: configuration.worker.shutdownGrace,
                    heedsInterrupt: stopper == nil)
            }
        } catch {
            await parts.close()
            throw error
        }
        await parts.close()
        logger.notice("stopped", metadata: ["process": "\(role.owner)"])
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
