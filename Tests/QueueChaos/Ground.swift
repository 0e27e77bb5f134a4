import ChaosSupport
import EmbeddedPostgres
import Foundation
import Logging
import Postgres
import Queue
import Schema

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What a run stands on: a directory, a database, and the proxy before it.
actor Ground {
    let directory: String
    let proxy: Proxy?
    /// The conductor's own sessions, past the proxy.
    nonisolated let pool: PostgresPool
    private let cluster: EmbeddedCluster?
    private let url: String

    /// Makes the directory, starts the database, brings it to the schema, and breaks what is to be broken.
    init(_ options: ConductOptions) async throws {
        Self.removeLeftovers()
        directory = Self.prefix + "\(getpid())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        chmod(directory, 0o711)
        let logger = Logger(label: "ground") { _ in SwiftLogNoOpLogHandler() }
        if let given = options.databaseURL {
            cluster = nil
            proxy = nil
            url = given
        } else {
            // Commits must be in the log when they are answered, for the server is killed; the machine is not, so nothing
            // need be on the disk.
            let cluster = EmbeddedCluster(directory: directory + "/postgres", durable: true, logger: logger)
            url = try await cluster.start()
            self.cluster = cluster
            proxy = try Proxy(upstream: Proxy.socketPath(of: url))
        }
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 6
        configuration.applicationName = "conductor"
        pool = PostgresPool(configuration, logger: logger)
        if cluster != nil {
            try await pool.executeScript(
                PostgresStatement("leave writes to the system", "alter system set fsync = off"))
            try await pool.executeScript(PostgresStatement("reload", "select pg_reload_conf()"))
        }
        try await SchemaMigrator(pool: pool, logger: logger).migrate()
        try await pool.executeScript(PostgresStatement("make tables of the run", ChaosSQL.schema))
        let faulty: String? =
            switch options.fault {
            case .fence: ChaosSQL.faultyFence
            case .settle: ChaosSQL.faultySettle
            case .keys: ChaosSQL.faultyKeys
            case .rescue, .observer, nil: nil
            }
        if let faulty { try await pool.executeScript(PostgresStatement("break the queue", faulty)) }
    }

    private static let prefix = "/tmp/queue-chaos-"

    /// Directories of runs that were killed; their processes and servers ended with them. Kept ones have a report.
    private static func removeLeftovers() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? [] {
            guard name.hasPrefix("queue-chaos-"), let process = Int32(name.dropFirst("queue-chaos-".count)),
                kill(process, 0) != 0, errno == ESRCH,
                !FileManager.default.fileExists(atPath: "/tmp/\(name)/report.txt")
            else { continue }
            try? FileManager.default.removeItem(atPath: "/tmp/\(name)")
        }
    }

    /// A way to the database for one process, and the place of its gate.
    func way() throws -> (url: String, place: Int?) {
        guard let proxy else { return (url, nil) }
        let (place, port) = try proxy.add()
        return (Proxy.url(port: port, database: "postgres"), place)
    }

    /// Stops the server as a power failure would, without a checkpoint, and starts it again.
    func restart() async throws {
        guard let cluster else { return }
        let file = directory + "/postgres/data/postmaster.pid"
        let text = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard let number = text.split(separator: "\n").first.flatMap({ Int32($0) }), number > 1 else {
            throw ChaosError("no server in \(file)")
        }
        kill(number, SIGQUIT)
        await cluster.stop()
        _ = try await cluster.start()
    }

    /// Ends the database. `report` is left beside the histories; nil: nothing is left.
    func end(keeping report: String?) async {
        proxy?.stop()
        await pool.close(grace: .zero)
        await cluster?.destroy()
        if let report, (try? report.write(toFile: directory + "/report.txt", atomically: true, encoding: .utf8)) != nil
        {
            return
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
