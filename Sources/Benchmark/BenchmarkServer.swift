import EmbeddedPostgres
import Foundation
import Logging
import Postgres
import Schema

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The server that everything is measured on: a private one with durable settings, or one that was named. Databases of
/// our own are made on it and dropped again; nothing else of a named server is touched.
actor BenchmarkServer {
    let url: String
    let pool: PostgresPool
    /// Where the private cluster is; nil for a server that was named.
    nonisolated let directory: String?
    nonisolated let isPrivate: Bool
    private let cluster: EmbeddedCluster?
    private let logger: Logger
    private var databases: [String] = []

    /// What differs from Postgres's defaults on the private server: room for the working set and for the log between two
    /// checkpoints, and a vacuum that looks more often, as on any server that is meant for a queue.
    private static func settings() -> [String: String] {
        let megabytes = min(1024, Int(ProcessInfo.processInfo.physicalMemory >> 20) / 4)
        return ["shared_buffers": "\(megabytes)MB", "max_wal_size": "8GB", "autovacuum_naptime": "5s"]
    }

    private init(url: String, cluster: EmbeddedCluster?, directory: String?, logger: Logger) {
        self.url = url
        self.cluster = cluster
        self.directory = directory
        self.logger = logger
        isPrivate = cluster != nil
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 2
        configuration.statementTimeout = .seconds(3600)
        configuration.applicationName = "evergrant-bench"
        pool = PostgresPool(configuration, logger: logger)
    }

    static func start(_ options: QueueBenchmarkOptions, logger: Logger) async throws -> BenchmarkServer {
        if let url = options.url { return BenchmarkServer(url: url, cluster: nil, directory: nil, logger: logger) }
        removeLeftovers()
        let directory = options.directory ?? "\(place)/\(prefix)\(getpid())"
        let cluster = EmbeddedCluster(directory: directory, durable: options.durable, logger: logger)
        do {
            let url = try await cluster.start()
            guard options.durable else {
                return BenchmarkServer(url: url, cluster: cluster, directory: directory, logger: logger)
            }
            let first = BenchmarkServer(url: url, cluster: cluster, directory: directory, logger: logger)
            for (name, value) in settings() {
                try await first.pool.executeScript(
                    PostgresStatement("set \(name)", "alter system set \(name) = '\(value)'"))
            }
            await first.pool.close()
            await cluster.stop()
            return BenchmarkServer(
                url: try await cluster.start(), cluster: cluster, directory: directory, logger: logger)
        } catch {
            await cluster.destroy()
            throw error
        }
    }

    /// Not /tmp, which may be memory.
    private static let place = "/var/tmp"
    private static let prefix = "evergrant-bench-"

    /// Directories of measurements that were killed or interrupted; their servers ended with them.
    private static func removeLeftovers() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [] {
            guard name.hasPrefix(prefix), let process = Int32(name.dropFirst(prefix.count)), kill(process, 0) != 0,
                errno == ESRCH
            else { continue }
            try? FileManager.default.removeItem(atPath: "\(place)/\(name)")
        }
    }

    /// Drops what was made; a private server goes with its directory.
    func stop() async {
        if let cluster {
            await pool.close()
            await cluster.destroy()
            return
        }
        for name in databases { try? await drop(name) }
        await pool.close()
    }

    /// A new database; its URL.
    func makeDatabase(_ purpose: String) async throws -> String {
        let name = "evergrant_bench_\(getpid())_\(purpose)"
        try await pool.executeScript(PostgresStatement("create database", "create database \(name) template template0"))
        databases.append(name)
        return Self.replacingDatabase(of: url, with: name)
    }

    /// A new database with the whole schema.
    func makeMigratedDatabase(_ purpose: String) async throws -> String {
        let url = try await makeDatabase(purpose)
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 1
        let pool = PostgresPool(configuration, logger: logger)
        do {
            try await SchemaMigrator(pool: pool, logger: logger).migrate()
        } catch {
            await pool.close()
            throw error
        }
        await pool.close()
        return url
    }

    func dropDatabase(_ purpose: String) async throws { try await drop("evergrant_bench_\(getpid())_\(purpose)") }

    private func drop(_ name: String) async throws {
        try await pool.executeScript(PostgresStatement("drop database", "drop database if exists \(name) with (force)"))
        databases.removeAll { $0 == name }
    }

    /// Sets a server-wide setting that needs no restart; only on the private server.
    func set(_ name: String, _ value: String) async throws {
        guard isPrivate else { throw BenchmarkError(.invalid, "\(name) is not ours to set on a server that was named") }
        try await pool.executeScript(PostgresStatement("set \(name)", "alter system set \(name) = '\(value)'"))
        try await pool.execute(PostgresStatement("reload settings", "select pg_reload_conf()"))
    }

    /// The postmaster, when it is a process of this machine.
    func postmaster() async throws -> Int32? {
        let rows = try await pool.execute(PostgresStatement("find backend", "select pg_backend_pid()"))
        guard let row = rows.first else { return nil }
        return ProcessorTimes.postmaster(ofBackend: try row.decode(Int32.self))
    }

    /// `url` is a URI (`postgres://…/name?…`) or a connection string (`key=value …`), in which the last value counts.
    static func replacingDatabase(of url: String, with database: String) -> String {
        guard var components = URLComponents(string: url), components.scheme?.hasPrefix("postgres") == true else {
            return url + " dbname=\(database)"
        }
        components.path = "/" + database
        return components.string ?? url
    }
}
