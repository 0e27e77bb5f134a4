import EmbeddedPostgres
import Foundation
import Logging
import Postgres

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The database server of a test process: a throw-away cluster in the temporary directory, or the server that
/// `EVERGRANT_TEST_DATABASE_URL` names. It is made at first use and gone, with everything in it, when the process ends.
package actor TestCluster {
    package static let shared = TestCluster()

    private var starting: Task<String, any Error>?
    private var administration: PostgresPool?
    private var cluster: EmbeddedCluster?
    private var databases: Set<String> = []
    private var number = 0
    private let logger = Logger(label: "test-cluster") { _ in SwiftLogNoOpLogHandler() }

    /// The URL of the server's maintenance database.
    package func url() async throws -> String {
        if let starting { return try await starting.value }
        let task = Task { try await start() }
        starting = task
        return try await task.value
    }

    // MARK: For TestDatabase

    /// Makes a database, as a copy of `template`, and returns its name. One after another, for a template in use cannot
    /// be copied.
    func createDatabase(template: String?) async throws -> String {
        let pool = try await administrator()
        number += 1
        let name = "\(Self.databasePrefix)\(getpid())_\(number)_\(UInt32.random(in: 0...UInt32.max))"
        databases.insert(name)
        try await pool.executeScript(
            PostgresStatement("create test database", "CREATE DATABASE \(name) TEMPLATE \(template ?? "template0")"),
            timeout: .seconds(60))
        return name
    }

    func dropDatabase(_ name: String) async throws {
        guard databases.remove(name) != nil else { return }
        try await administrator().executeScript(
            PostgresStatement("drop test database", "DROP DATABASE IF EXISTS \(name) WITH (FORCE)"),
            timeout: .seconds(60))
    }

    /// The URL of another database of this server.
    func url(database: String) async throws -> String {
        Self.replacingDatabase(of: try await url(), with: database)
    }

    // MARK: Start and end

    private static let databasePrefix = "evergrant_test_"
    private static let directoryPrefix = "evergrant-test-"

    private func start() async throws -> String {
        atexit {
            // The main thread is ending the process; the cooperative pool still runs.
            let done = DispatchSemaphore(value: 0)
            Task.detached {
                await TestCluster.shared.end()
                done.signal()
            }
            _ = done.wait(timeout: .now() + 10)
        }
        if let given = ProcessInfo.processInfo.environment["EVERGRANT_TEST_DATABASE_URL"], !given.isEmpty {
            return given
        }
        await Self.removeLeftovers(logger)
        let directory = NSTemporaryDirectory() + "/\(Self.directoryPrefix)\(getpid())"
        let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
        self.cluster = cluster
        return try await cluster.start()
    }

    /// One connection: its statements run one after another.
    private func administrator() async throws -> PostgresPool {
        let url = try await url()
        if let administration { return administration }
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 1
        configuration.acquireTimeout = .seconds(900)
        configuration.applicationName = "evergrant-tests"
        let pool = PostgresPool(configuration, logger: logger)
        administration = pool
        return pool
    }

    private func end() async {
        if let cluster {
            await cluster.destroy()
        } else {
            for name in databases { try? await dropDatabase(name) }
        }
    }

    /// Directories of test processes that were killed; their servers ended with them.
    private static func removeLeftovers(_ logger: Logger) async {
        let temporary = NSTemporaryDirectory()
        for name in (try? FileManager.default.contentsOfDirectory(atPath: temporary)) ?? [] {
            guard name.hasPrefix(directoryPrefix), let process = Int32(name.dropFirst(directoryPrefix.count)),
                process != getpid(), kill(process, 0) != 0, errno == ESRCH
            else { continue }
            try? FileManager.default.removeItem(atPath: temporary + "/" + name)
        }
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
