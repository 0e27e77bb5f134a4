import Credentials
import Foundation
import Logging
import Postgres
import Store
import Vault

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The processes of a measurement of refreshes: provider, scheduler and workers, as in production each of its own, with a
/// directory for keyring, catalog and journals.
struct RefreshFleet: Sendable {
    let provider: SecondProcess
    let scheduler: SecondProcess
    let workers: [SecondProcess]

    private static let systemAuthorities = "/etc/ssl/certs/ca-certificates.crt"

    /// Starts everything for one class and latency.
    /// - Throws: ``BenchmarkError`` with what a process complained of.
    static func start(
        _ kind: RefreshBenchmarkOptions.Kind, latency: Double, url: String, directory: String,
        options: RefreshBenchmarkOptions
    ) async throws -> RefreshFleet {
        let orders = TokenServerOrders(
            latency: Int64(latency * 1000), certificate: kind.isTLS ? directory + "/provider.pem" : nil)
        let provider = try SecondProcess(
            [options.program, "bench", "child"],
            environment: [
                TokenServerOrders.variable: String(decoding: try JSONEncoder().encode(orders), as: UTF8.self)
            ])
        guard let port = Int(try await provider.line()) else {
            throw BenchmarkError(.failed, "the provider named no port: \(provider.complaints)")
        }
        // Beside the system's authorities, as in production: reading them is part of a handshake unless it is cached.
        if let path = orders.certificate, let system = FileManager.default.contents(atPath: systemAuthorities),
            let file = FileHandle(forWritingAtPath: path)
        {
            try file.seekToEnd()
            try file.write(contentsOf: system)
            try file.close()
        }
        let catalog = directory + "/catalog"
        try FileManager.default.createDirectory(atPath: catalog, withIntermediateDirectories: true)
        try Self.catalog(base: "\(kind.isTLS ? "https" : "http")://127.0.0.1:\(port)")
            .write(toFile: catalog + "/bench.yaml", atomically: true, encoding: .utf8)
        var environment = [
            "EVERGRANT_DATABASE_URL": url, "EVERGRANT_KEYRING_FILES": directory + "/keyring",
            "EVERGRANT_CATALOG_DIRECTORIES": catalog, "EVERGRANT_LOG_LEVEL": "warning",
            "EVERGRANT_DATABASE_MAXIMUM_CONNECTIONS": "\(options.databaseConnections)",
            "EVERGRANT_WORKER_CONCURRENCY": "\(options.concurrency(latency: latency))",
            "EVERGRANT_LIFECYCLE_VALIDATE_EVERY": "0s",
        ]
        if kind.isTLS { environment["EVERGRANT_EGRESS_CERTIFICATE_AUTHORITIES"] = directory + "/provider.pem" }
        let scheduler = try SecondProcess([options.program, "scheduler"], environment: environment)
        let workers = try (0..<options.workers).map { number in
            environment["EVERGRANT_ESCROW_DIRECTORY"] = directory + "/journal-\(number)"
            return try SecondProcess([options.program, "worker"], environment: environment)
        }
        return RefreshFleet(provider: provider, scheduler: scheduler, workers: workers)
    }

    /// Ends the processes: workers and scheduler first, by the signal that drains them.
    /// - Parameter isLost: nothing is worth waiting for any more.
    func stop(isLost: Bool = false) async {
        for process in workers + [scheduler] { process.send(signal: isLost ? SIGKILL : SIGTERM) }
        for process in workers + [scheduler] { _ = await process.end() }
        provider.send(signal: SIGKILL)
        _ = await provider.end()
    }

    /// What one of them complained of.
    var complaints: String { ([scheduler, provider] + workers).map(\.complaints).joined(separator: "\n") }

    private static func catalog(base: String) -> String {
        let classes = [("bench-replayable", "replayable"), ("bench-rotating", "strict")]
        var text = "allow_http: true\nnetworks: [127.0.0.0/8]\nproviders:\n"
        for (name, replay) in classes {
            text += """
                  \(name):
                    name: \(name)
                    authorization_url: \(base)/authorize
                    token_url: \(base)/token
                    client: {authentication: body}
                    replay: {class: \(replay), harm: none}
                    grade: D

                """
        }
        text += "integrations:\n"
        for (name, _) in classes {
            text += """
                  \(name):
                    title: \(name)
                    provider: \(name)
                    category: development
                    api_base: \(base)

                """
        }
        return text
    }
}

/// What the provider's process is to do, in its environment.
struct TokenServerOrders: Codable, Sendable {
    static let variable = "EVERGRANT_BENCH_PROVIDER"

    /// Microseconds.
    var latency: Int64
    /// With TLS: where its certificate goes.
    var certificate: String?
}
