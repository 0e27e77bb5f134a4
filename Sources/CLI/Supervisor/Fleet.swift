import Bootstrap
import Credentials
import Egress
import EmbeddedPostgres
import Foundation
import Logging
import UnixSignals

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The whole of Evergrant on one machine: sandbox, database, front, scheduler and worker, until a signal.
struct Fleet: Sendable {
    let options: FleetOptions
    let directory: FleetDirectory
    let say: @Sendable (String) -> Void

    init(_ options: FleetOptions, say: @escaping @Sendable (String) -> Void) {
        self.options = options
        directory = FleetDirectory(path: options.directory)
        self.say = say
    }

    /// Starts everything, says what runs where, and returns when a signal has stopped it.
    /// - Throws: what kept it from starting; everything is stopped again then.
    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: [.sigint, .sigterm, .sighup])
        let began = ContinuousClock.now
        var configuration = try options.load()
        try checkPorts(configuration)
        try directory.prepare()
        try directory.lock()
        let isNewKeyring = try configuration.keyring.files == [directory.keyring] && directory.makeKeyring()
        // What is wrong with the files is told before anything starts.
        _ = try configuration.catalog.catalog()
        _ = try configuration.keyring.keyring()
        configuration.log.level = max(configuration.log.level, .warning)
        let logger = configuration.log.bootstrap(label: "up")
        let supervisor = try FleetSupervisor(program: Self.program(), say: say)
        let cluster =
            configuration.database.url == nil
            ? EmbeddedCluster(directory: directory.database, durable: true, logger: logger) : nil

        // One reader for all signals (the sequence allows one): the first stops in order, a second kills.
        let (stops, firstSignal) = AsyncStream<Void>.makeStream()
        let listener = Task {
            var count = 0
            for await _ in signals {
                count += 1
                guard count > 1 else {
                    firstSignal.yield()
                    continue
                }
                say("killing what is left…")
                await supervisor.kill()
            }
        }
        defer { listener.cancel() }

        let settled = configuration
        let outcome: Result<Void, any Error> = await withTaskGroup(of: Result<Void, any Error>.self) { group in
            group.addTask {
                do {
                    var greeting = try await start(settled, supervisor, cluster, logger)
                    greeting.isNewKeyring = isNewKeyring
                    greeting.startTime = ContinuousClock.now - began
                    say(greeting.text)
                    // Until the signal cancels it.
                    while !Task.isCancelled { try await Task.sleep(for: .seconds(3600)) }
                    return .success(())
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                for await _ in stops { break }
                return .success(())
            }
            let first = await group.next() ?? .success(())
            group.cancelAll()
            return first
        }
        say("stopping…")
        await stop(supervisor, cluster)
        try outcome.get()
        say("stopped; the next start finds its data in \(options.directory)")
    }

    private func start(
        _ configuration: EvergrantConfiguration, _ supervisor: FleetSupervisor, _ cluster: EmbeddedCluster?,
        _ logger: Logger
    ) async throws -> Greeting {
        var environment = options.childEnvironment(directory, configuration)
        try await supervisor.start(plan("sandbox", options.sandboxArguments(directory), environment))
        var configuration = configuration
        if let cluster {
            let url = try await cluster.start()
            configuration.database.url = Secret(url)
            environment["EVERGRANT_DATABASE_URL"] = url
        }
        let first = try await FirstStart(configuration: configuration, directory: directory, logger: logger).run()
        for name in ["front", "worker", "scheduler"] {
            try await supervisor.start(plan(name, [name, "--stop-with-stdin"], environment))
        }
        let client = EgressClient(logger: logger)
        let calls = FrontCalls(client: client)
        let front = url(configuration.front.host, configuration.front.port)
        let admin = url(configuration.front.adminHost, configuration.front.adminPort)
        try await waitUntilReady(calls, admin: admin, configuration, supervisor)
        let link = await calls.connectLink(front: front, apiKey: first.apiKey, integration: "sandbox-strict")
        await client.close()
        return await Greeting(
            directory: options.directory, configuration: configuration, sandboxPort: options.sandboxPort,
            apiKey: first.apiKey, isNewKey: first.isNewKey, link: link, isPrivateDatabase: cluster != nil,
            processes: ["front", "scheduler", "worker", "sandbox"].asyncMap {
                ($0, await supervisor.processID(of: $0) ?? 0)
            })
    }

    /// All four answer: they have opened keyring, journal and database by then.
    private func waitUntilReady(
        _ calls: FrontCalls, admin: String, _ configuration: EvergrantConfiguration, _ supervisor: FleetSupervisor
    ) async throws {
        let end = ContinuousClock.now + .seconds(30)
        var listeners = [("127.0.0.1", options.sandboxPort)]
        if let port = configuration.worker.adminPort { listeners.append((configuration.worker.adminHost, port)) }
        if let port = configuration.scheduler.adminPort { listeners.append((configuration.scheduler.adminHost, port)) }
        while true {
            for name in ["sandbox", "front", "worker", "scheduler"] where await supervisor.hasEnded(name) {
                let log = directory.log(name)
                throw FleetError(
                    "\(name) ended while starting; the end of \(log) says:\n  \(lastLine(of: log))", status: EX_SOFTWARE
                )
            }
            let areListening = listeners.allSatisfy { PortCheck.isListening(host: reachable($0.0), port: $0.1) }
            if areListening, await calls.isReady(admin: admin) { return }
            guard ContinuousClock.now < end else {
                throw FleetError(
                    "not everything is ready after 30 s; the end of \(directory.log("front")) says:\n  "
                        + lastLine(of: directory.log("front")), status: EX_SOFTWARE)
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Callers first, then what they call.
    private func stop(_ supervisor: FleetSupervisor, _ cluster: EmbeddedCluster?) async {
        await supervisor.stop(["front", "worker", "scheduler"])
        await supervisor.stop(["sandbox"])
        await cluster?.stop()
    }

    private func plan(_ name: String, _ arguments: [String], _ environment: [String: String]) -> ChildPlan {
        directory.trim(log: name)
        return ChildPlan(name: name, arguments: arguments, environment: environment, log: directory.log(name))
    }

    private func checkPorts(_ configuration: EvergrantConfiguration) throws {
        let front = configuration.front
        try PortCheck.require(host: front.host, port: front.port, setting: "--front-port")
        try PortCheck.require(host: front.adminHost, port: front.adminPort, setting: "--admin-port")
        let (worker, scheduler) = (configuration.worker, configuration.scheduler)
        for (host, port) in [(worker.adminHost, worker.adminPort), (scheduler.adminHost, scheduler.adminPort)] {
            if let port { try PortCheck.require(host: host, port: port, setting: "--admin-port (it and the next two)") }
        }
        try PortCheck.require(host: "127.0.0.1", port: options.sandboxPort, setting: "--sandbox-port")
    }

    /// Where a listener that was told to bind `host` can be reached from here.
    private func reachable(_ host: String) -> String {
        switch host {
        case "0.0.0.0": "127.0.0.1"
        case "::": "::1"
        default: host
        }
    }

    private func url(_ host: String, _ port: Int) -> String {
        let host = reachable(host)
        return host.contains(":") ? "http://[\(host)]:\(port)" : "http://\(host):\(port)"
    }

    private func lastLine(of file: String) -> String {
        let text = FileManager.default.contents(atPath: file).map { String(decoding: $0.suffix(4096), as: UTF8.self) }
        return text?.split(separator: "\n").last.map(String.init) ?? "(nothing)"
    }

    /// This executable, whatever its name on the command line was.
    private static func program() -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return CommandLine.arguments.first ?? "evergrant" }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension Sequence {
    fileprivate func asyncMap<T>(_ transform: (Element) async -> T) async -> [T] {
        var results: [T] = []
        for element in self { results.append(await transform(element)) }
        return results
    }
}
