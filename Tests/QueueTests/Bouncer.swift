import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// A PgBouncer of the test's own, in transaction mode, in front of a test's database. It ends when this process does,
/// however that happens: its shell waits for the end of its input.
final class Bouncer: Sendable {
    static let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }
    static let missing: Comment = "no pgbouncer here; ./dev test installs it"

    /// The database through the pooler.
    let url: String
    private let directory: String
    private let process: Process
    private let input: Pipe
    private let console: PostgresPool

    /// In front of the database of `target`, with so many server connections at most.
    static func start(before target: String, serverConnections: Int) async throws -> Bouncer {
        let bouncer = try Bouncer(before: target, serverConnections: serverConnections)
        let pool = bouncer.pool(clients: 1)
        do {
            try await eventually { (try? await pool.execute(PostgresStatement("is it there", "select 1"))) != nil }
        } catch {
            let log = FileManager.default.contents(atPath: bouncer.directory + "/log").map {
                String(decoding: $0, as: UTF8.self)
            }
            Issue.record("pgbouncer does not answer: \(log ?? "")")
            await pool.close()
            await bouncer.stop()
            throw error
        }
        await pool.close()
        return bouncer
    }

    private init(before target: String, serverConnections: Int) throws {
        let program = try #require(Self.program)
        let components = try #require(URLComponents(string: target))
        func option(_ name: String) -> String? { components.queryItems?.first { $0.name == name }?.value }
        let host = option("host") ?? components.host ?? "127.0.0.1"
        let port = option("port") ?? components.port.map(String.init) ?? "5432"
        let user = components.user ?? "postgres"
        let database = String(components.path.dropFirst())
        var template = (NSTemporaryDirectory() + "/evergrant-bouncer-XXXXXX").utf8CString.map { $0 }
        try #require(mkdtemp(&template) != nil)
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let password = components.password.map { " password='\($0)'" } ?? ""
        let settings = """
            [databases]
            \(database) = host='\(host)' port=\(port) user='\(user)'\(password)
            [pgbouncer]
            listen_addr =
            listen_port = 6432
            unix_socket_dir = \(directory)
            auth_type = trust
            auth_file = \(directory)/users
            admin_users = \(user)
            pool_mode = transaction
            default_pool_size = \(serverConnections)
            max_client_conn = 200
            logfile = \(directory)/log
            """
        try Data(settings.utf8).write(to: URL(fileURLWithPath: directory + "/pgbouncer.ini"))
        try Data("\"\(user)\" \"\"\n".utf8).write(to: URL(fileURLWithPath: directory + "/users"))
        // Foundation's threads block most signals, and a child inherits that: SIGTERM would not reach it.
        var arguments = [
            "/bin/sh", "-c", "\"$0\" -q \"$1\" & read _; kill -KILL $!", program, directory + "/pgbouncer.ini",
        ]
        // It refuses to run as root, and the server's socket belongs to the server's user.
        if geteuid() == 0 {
            let account = try #require(getpwnam("postgres")?.pointee)
            for path in ["", "/pgbouncer.ini", "/users"] {
                try #require(chown(directory + path, account.pw_uid, account.pw_gid) == 0)
            }
            arguments =
                ["/usr/bin/setpriv", "--reuid=\(account.pw_uid)", "--regid=\(account.pw_gid)", "--clear-groups", "--"]
                + arguments
        }
        input = Pipe()
        // No other child shall keep it open when we end.
        for end in [input.fileHandleForReading, input.fileHandleForWriting] {
            try #require(fcntl(end.fileDescriptor, F_SETFD, FD_CLOEXEC) == 0)
        }
        process = Process()
        process.executableURL = URL(fileURLWithPath: arguments[0])
        process.arguments = Array(arguments.dropFirst())
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        let place = directory.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? directory
        url = "postgresql://\(user)@/\(database)?host=\(place)&port=6432"
        var configuration = PostgresConfiguration(url: "postgresql://\(user)@/pgbouncer?host=\(place)&port=6432")
        configuration.preparesStatements = false
        configuration.maximumConnections = 1
        console = PostgresPool(configuration, logger: quiet)
    }

    /// A pool as a process behind a pooler has it.
    func pool(clients: Int = 4, _ configure: (inout PostgresConfiguration) -> Void = { _ in }) -> PostgresPool {
        var configuration = PostgresConfiguration(url: url)
        configuration.preparesStatements = false
        configuration.settings = JobQueue.sessionSettings
        configuration.maximumConnections = clients
        configure(&configuration)
        return PostgresPool(configuration, logger: quiet)
    }

    /// Holds every statement back, once those under way are over; no client is disconnected (PgBouncer manual, PAUSE).
    func pause() async throws { try await console.executeScript(PostgresStatement("pause", "PAUSE")) }

    func resume() async throws { try await console.executeScript(PostgresStatement("resume", "RESUME")) }

    func stop() async {
        await console.close(grace: .zero)
        try? input.fileHandleForWriting.close()
        try? await eventually { !process.isRunning }
        try? FileManager.default.removeItem(atPath: directory)
    }
}

/// A queue behind a pooler of its own, in a database of its own: `behind` goes through it, `direct` does not.
struct PooledQueue: Sendable {
    let direct: QueueFixture
    let bouncer: Bouncer
    let pool: PostgresPool
    let queue: JobQueue
    let maintenance: QueueMaintenance

    func runner(
        _ handlers: [any JobHandler], pool: PostgresPool, _ configure: (inout JobRunnerConfiguration) -> Void = { _ in }
    ) -> JobRunner {
        var configuration = JobRunnerConfiguration()
        configuration.pollInterval = .milliseconds(5) ... .milliseconds(10)
        configuration.beatInterval = .milliseconds(100)
        configure(&configuration)
        return JobRunner(queue: queue, pool: pool, handlers: handlers, configuration: configuration, logger: quiet)
    }
}

func withPooledQueue<T: Sendable>(
    serverConnections: Int = 4, _ body: (PooledQueue) async throws -> T
) async throws -> T {
    try await withOwnQueue { fixture async throws in
        // What `settings` are in a direct session: they come with the role.
        let role = try await fixture.value("select current_user::text", as: String.self)
        for (name, value) in JobQueue.sessionSettings {
            try await fixture.run("alter role \(role) in database \(fixture.database.name) set \(name) = \(value)")
        }
        let bouncer = try await Bouncer.start(before: fixture.database.url, serverConnections: serverConnections)
        let pool = bouncer.pool(clients: 8)
        let result: Result<T, any Error>
        do {
            result = .success(
                try await body(
                    PooledQueue(
                        direct: fixture, bouncer: bouncer, pool: pool, queue: JobQueue(pool: pool, logger: quiet),
                        maintenance: QueueMaintenance(pool: pool, logger: quiet))))
        } catch {
            result = .failure(error)
        }
        await pool.close(grace: .zero)
        await bouncer.stop()
        return try result.get()
    }
}
