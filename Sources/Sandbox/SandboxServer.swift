import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// The test provider: a real OAuth 2 server and API that misbehaves on request and writes down everything.
package final class SandboxServer: Service {
    /// What it knows; tests in the same process may ask it directly.
    package let state: SandboxState
    private let configuration: SandboxConfiguration
    private let logger: Logger
    private let bound = BoundPort()

    package init(configuration: SandboxConfiguration = SandboxConfiguration(), logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        state = SandboxState(settings: configuration.settings)
    }

    /// The port it listens on; waits until it does.
    /// - Throws: ``SandboxError`` when it ended before it listened.
    package var port: Int { get async throws { try await bound.value } }

    /// Serves until shutdown or cancellation. Requests that stand at gates or hang are let go then.
    /// - Throws: ``SandboxError`` when the address is taken or the state file cannot be read.
    package func run() async throws {
        do {
            try await serve()
            bound.fail(.ended)
        } catch let error as IOError {
            let refusal = SandboxError(
                code: .cannotListen,
                message: "the sandbox cannot listen on \(configuration.host):\(configuration.port): \(error); "
                    + "stop what listens there, or choose another port")
            bound.fail(refusal)
            throw refusal
        } catch {
            bound.fail(error as? SandboxError ?? .ended)
            throw error
        }
    }

    private func serve() async throws {
        let keeper = configuration.stateFile.map { StateKeeper(path: $0, state: state, logger: logger) }
        try keeper?.load()
        let responder = LateResponder()
        let application = Application(
            responder: responder,
            server: .http1(configuration: .init(additionalChannelHandlers: [ClientWatch()])),
            configuration: .init(address: .hostname(configuration.host, port: configuration.port)),
            onServerRunning: { [self] channel in
                let port = channel.localAddress?.port ?? configuration.port
                responder.set(SandboxResponder(state: state, issuer: issuer(port)))
                bound.succeed(port)
            },
            logger: logger)
        var services: [any Service] = [application]
        for host in configuration.otherHosts {
            services.append(OtherHost(host: host, bound: bound, responder: responder, logger: logger))
        }
        services.append(ScenarioPlayer(state, logger: logger))
        if let scenario = configuration.scenario { state.play(scenario, scale: configuration.scenarioScale) }
        var shutdown = ServiceGroupConfiguration(services: services, logger: logger)
        shutdown.maximumGracefulShutdownDuration = .seconds(5)
        let group = ServiceGroup(configuration: shutdown)
        // Unstructured, so that a cancellation becomes a graceful shutdown: answers on their way are still sent.
        let serving = Task { try await group.run() }
        let keeping = keeper.map { keeper in Task { await keeper.keep() } }
        defer { keeping?.cancel() }
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await serving.value
        } onCancelOrGracefulShutdown: { [state] in
            state.releaseAll()
            Task { await group.triggerGracefulShutdown() }
        }
        keeping?.cancel()
        await keeping?.value
        try keeper?.save()
    }

    private func issuer(_ port: Int) -> String {
        if let url = configuration.publicURL { return url }
        let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
        return "http://\(host):\(port)"
    }
}

/// One more address of the same provider, on the port of the first.
private struct OtherHost: Service {
    let host: String
    let bound: BoundPort
    let responder: LateResponder
    let logger: Logger

    func run() async throws {
        let application = Application(
            responder: responder,
            server: .http1(configuration: .init(additionalChannelHandlers: [ClientWatch()])),
            configuration: .init(address: .hostname(host, port: try await bound.value)), logger: logger)
        try await application.run()
    }
}

/// Why the sandbox does not run.
package struct SandboxError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// It ended before it listened, or has ended since.
        case ended
        /// The address is taken, or not this machine's.
        case cannotListen
        /// The state file cannot be read.
        case stateFile
    }

    package let code: Code
    package let message: String

    package var description: String { message }

    static let ended = SandboxError(code: .ended, message: "the sandbox does not run; see its log for why it ended")
}
