import EmbeddedPostgres
import Foundation
import LifecycleSupport
import Logging
import Postgres
import Schema

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The private server of a run, brought to the schema.
actor Ground {
    nonisolated let directory: String
    private let cluster: EmbeddedCluster
    private(set) var url = ""

    /// - Parameter name: tells the servers of one run apart.
    init(_ name: String) {
        directory = "/tmp/lifecycle-chaos-\(getpid())-\(name)"
        // Commits are in the log when they are answered, for the server is killed; the machine is not, so nothing need
        // be on the disk.
        cluster = EmbeddedCluster(directory: directory, durable: true, logger: Self.logger)
    }

    func start() async throws {
        url = try await cluster.start()
        let pool = PostgresPool(PostgresConfiguration(url: url), logger: Self.logger)
        try await pool.executeScript(PostgresStatement("leave writes to the system", "alter system set fsync = off"))
        try await pool.executeScript(PostgresStatement("reload", "select pg_reload_conf()"))
        try await SchemaMigrator(pool: pool, logger: Self.logger).migrate()
        await pool.close()
    }

    /// Stops the server as a power failure would, without a checkpoint, and starts it again.
    func restart() async throws {
        let text = (try? String(contentsOfFile: directory + "/data/postmaster.pid", encoding: .utf8)) ?? ""
        if let number = text.split(separator: "\n").first.flatMap({ Int32($0) }), number > 1 { kill(number, SIGQUIT) }
        await cluster.stop()
        _ = try await cluster.start()
    }

    func end() async { await cluster.destroy() }

    private static let logger = Logger(label: "ground") { _ in SwiftLogNoOpLogHandler() }
}
