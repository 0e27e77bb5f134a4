import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// The HTTP front, assembled: the public listener (API, connect pages, callbacks, passthrough) and the admin listener
/// (metrics and health). The `front` command and the tests make it the same way.
package struct FrontApplication: Service {
    /// Where the listeners ended up, once both are bound.
    package let addresses = FrontAddresses()

    private let services: [any Service]
    private let logger: Logger

    /// - Throws: when a page is malformed or `publicURL` is no origin.
    package init(options: FrontOptions, services: FrontServices) throws {
        let logger = services.logger
        let uses = UseRecorder(pool: services.pool, callsPerConnection: options.callsPerConnection, logger: logger)
        let watch = FeedWatch(pool: services.pool, logger: logger)
        let addresses = addresses
        let open = Application(
            responder: try Self.publicRouter(options, services, uses, watch).buildResponder(),
            server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: ApplicationConfiguration(
                address: .hostname(options.publicAddress.host, port: options.publicAddress.port)),
            onServerRunning: { addresses.bound(.open, $0) }, logger: logger)
        let admin = Application(
            responder: Self.adminRouter(options, services).buildResponder(),
            server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: ApplicationConfiguration(
                address: .hostname(options.adminAddress.host, port: options.adminAddress.port)),
            onServerRunning: { addresses.bound(.admin, $0) }, logger: logger)
        // Shut down in reverse: first the calls that wait, then the listeners, then what their calls use.
        self.services = [uses, admin, open, watch]
        self.logger = logger
    }

    /// A client that sends nothing for so long, between or inside requests, is let go. Waiting for our answer does not
    /// count.
    private static let idleTimeout = TimeAmount.seconds(75)

    package func run() async throws {
        try await ServiceGroup(configuration: .init(services: services, logger: logger)).run()
    }

    private static func publicRouter(
        _ options: FrontOptions, _ services: FrontServices, _ uses: UseRecorder, _ watch: FeedWatch
    ) throws -> Router<FrontRequestContext> {
        let renderer = try PageRenderer()
        let authenticator = KeyAuthenticator(pool: services.pool, life: options.keyCacheLife)
        let router = Router(context: FrontRequestContext.self, options: [.autoGenerateHeadEndpoints])
        router.add(
            middleware: RequestBoundary(
                bodyLimit: options.maximumBodyBytes, logger: services.logger, listener: "public"))
        router.add(
            middleware: Passthrough(
                services: services, options: options, authenticator: authenticator, uses: uses))
        let limit = options.maximumBodyBytes
        let routes = APIRoutes(
            router: router, authenticator: authenticator,
            idempotency: Idempotency(
                pool: services.pool, vault: services.vault, bodyLimit: limit, logger: services.logger))
        EnvironmentsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        APIKeysController(services: services, authenticator: authenticator, bodyLimit: limit).addRoutes(to: routes)
        IntegrationsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        ImportsController(services: services).addRoutes(to: routes)
        ExportsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        ErasuresController(services: services).addRoutes(to: routes)
        OAuthAppController(services: services, bodyLimit: limit).addRoutes(to: routes)
        let sessions = SessionsController(services: services, bodyLimit: limit)
        sessions.addRoutes(to: routes)
        ConnectionsController(services: services, sessions: sessions, bodyLimit: limit).addRoutes(to: routes)
        WebhooksController(services: services, bodyLimit: limit).addRoutes(to: routes)
        DeliveriesController(services: services).addRoutes(to: routes)
        EventsController(services: services, watch: watch, longestWait: options.feedWait).addRoutes(to: routes)
        AuditController(services: services).addRoutes(to: routes)
        JobsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        QueuesController(services: services).addRoutes(to: routes)
        LimitsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        ProviderHealthController(services: services, bodyLimit: limit).addRoutes(to: routes)
        CampaignsController(services: services, bodyLimit: limit).addRoutes(to: routes)
        SchedulesController(services: services, bodyLimit: limit).addRoutes(to: routes)
        try ConnectPages(services: services, options: options, renderer: renderer).addRoutes(to: router)
        try ConnectWindow(services: services, options: options, renderer: renderer).addRoutes(to: routes)
        InboundController(services: services).addRoutes(to: router)
        AssetRoutes(assets: renderer.assets, catalog: services.catalog).addRoutes(to: router)
        return router
    }

    private static func adminRouter(_ options: FrontOptions, _ services: FrontServices) -> Router<FrontRequestContext> {
        let router = Router(context: FrontRequestContext.self, options: [.autoGenerateHeadEndpoints])
        router.add(
            middleware: RequestBoundary(bodyLimit: options.maximumBodyBytes, logger: services.logger, listener: "admin")
        )
        HealthRoutes(services: services).addRoutes(to: router)
        return router
    }
}

/// The ports of a front's listeners: told when they are bound.
package final class FrontAddresses: Sendable {
    enum Listener { case open, admin }

    package struct Ports: Sendable, Hashable {
        package let open: Int
        package let admin: Int
    }

    private struct State {
        var open: Int?
        var admin: Int?
        var waiters: [CheckedContinuation<Ports, Never>] = []

        var ports: Ports? {
            guard let open, let admin else { return nil }
            return Ports(open: open, admin: admin)
        }
    }

    private let state = Mutex(State())

    /// Waits until both listeners are bound.
    package func ports() async -> Ports {
        await withCheckedContinuation { continuation in
            let ready = state.withLock { state -> Ports? in
                if let ports = state.ports { return ports }
                state.waiters.append(continuation)
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
        }
    }

    func bound(_ listener: Listener, _ channel: any Channel) {
        let (ports, waiters) = state.withLock { state -> (Ports?, [CheckedContinuation<Ports, Never>]) in
            switch listener {
            case .open: state.open = channel.localAddress?.port
            case .admin: state.admin = channel.localAddress?.port
            }
            guard let ports = state.ports else { return (nil, []) }
            defer { state.waiters = [] }
            return (ports, state.waiters)
        }
        if let ports { for waiter in waiters { waiter.resume(returning: ports) } }
    }
}
