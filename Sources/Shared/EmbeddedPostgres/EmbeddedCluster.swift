import Foundation
import Logging

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A PostgreSQL server of our own: a child process that is reached only through a unix socket in a directory that only
/// its user may enter, and that ends when this process does.
///
/// In `directory` are `data`, `postgres.log`, `lock`, and `socket` (under /tmp when the path is too long for a socket).
/// A cluster that a killed process left behind is taken over: its server is stopped if it still runs, and PostgreSQL
/// recovers its data at the start. A directory that a living process uses is refused.
package actor EmbeddedCluster {
    private let directory: String
    private let durable: Bool
    private let logger: Logger
    private var server: ChildProcess?
    private var lock: DirectoryLock?
    private var sockets: SocketDirectory?

    private var data: String { directory + "/data" }
    private var log: String { directory + "/postgres.log" }

    /// How long the server may take until it answers; recovery after a crash is part of it.
    private static let startLimit: Duration = .seconds(60)
    /// How long the orderly end may take (SIGINT: sessions are ended, a checkpoint is written).
    private static let stopLimit: Duration = .seconds(20)

    /// A cluster in `directory`, made when missing. `durable` false is for data to be thrown away: no write is synced.
    package init(directory: String, durable: Bool, logger: Logger) {
        self.directory = URL(fileURLWithPath: directory).standardizedFileURL.path
        self.durable = durable
        self.logger = logger
    }

    /// Starts the server and returns the URL of its database, once it answers. Throws `EmbeddedPostgresError`.
    package func start() async throws -> String {
        if let server, server.exitStatus == nil, let sockets { return sockets.url }
        let account = try ServerAccount.current()
        try prepare(account)
        let lock = try DirectoryLock(directory)
        try await account.checkReach(directory)
        try await PostmasterFile(data).takeOver(logger)
        let binaries = try await ServerBinaries.find(version: try dataVersion())
        if !FileManager.default.fileExists(atPath: data) { try await initialize(binaries, account) }
        let sockets = try SocketDirectory(cluster: directory, account)
        let server = try await run(binaries, account, sockets)
        self.lock = lock
        self.sockets = sockets
        self.server = server
        if account.setpriv == nil {
            logger.warning("setpriv is missing, so the private database outlives this process when that is killed")
        }
        logger.info(
            "private database started",
            metadata: ["directory": "\(directory)", "version": "\(binaries.majorVersion)"])
        return sockets.url
    }

    /// Stops the server in order; a server that does not is made to, which costs a recovery at its next start.
    package func stop() async {
        guard let server else { return }
        await PostmasterFile.stop(limit: Self.stopLimit, signal: { server.send(signal: $0) }) {
            server.exitStatus != nil
        }
        sockets?.remove()
        self.server = nil
        sockets = nil
        lock = nil
        logger.info("private database stopped", metadata: ["directory": "\(directory)"])
    }

    /// Stops the server at once and removes the directory: for throw-away clusters.
    package func destroy() async {
        if let server {
            server.send(signal: SIGQUIT)
            if await !server.ends(within: .seconds(5)) {
                server.send(signal: SIGKILL)
                _ = await server.ends(within: .seconds(5))
            }
        }
        sockets?.remove()
        server = nil
        sockets = nil
        try? FileManager.default.removeItem(atPath: directory)
        lock = nil
    }

    // MARK: Parts

    private func prepare(_ account: ServerAccount) throws {
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw EmbeddedPostgresError(.file, "cannot make \(directory): \(error)")
        }
        // The server's user must be able to pass; what is inside is closed by itself.
        if account.name != nil { chmod(directory, 0o711) }
        // A log from which the reasons of the last failures can still be read, but no endless one.
        if let size = try? FileManager.default.attributesOfItem(atPath: log)[.size] as? Int, size > 8 << 20 {
            rename(log, log + ".old")
        }
    }

    private func dataVersion() throws -> Int? {
        guard let content = FileManager.default.contents(atPath: data + "/PG_VERSION") else {
            if FileManager.default.fileExists(atPath: data) {
                throw EmbeddedPostgresError(.file, "\(data) is not a PostgreSQL data directory; move it away")
            }
            return nil
        }
        return Int(String(decoding: content, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Makes the data under another name first: an interrupted initdb leaves nothing that looks like data.
    private func initialize(_ binaries: ServerBinaries, _ account: ServerAccount) async throws {
        let unfinished = data + ".new"
        try? FileManager.default.removeItem(atPath: unfinished)
        try account.makeDirectory(unfinished)
        var arguments = [
            binaries.initdb, "-D", unfinished, "-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8",
            "--no-instructions",
        ]
        if !durable { arguments.append("--no-sync") }
        do {
            _ = try await ChildProcess.output(
                of: account.command(arguments, endsWithUs: true), environment: environment)
        } catch let error as EmbeddedPostgresError {
            try? FileManager.default.removeItem(atPath: unfinished)
            throw EmbeddedPostgresError(.failed, "cannot make the private database in \(data): \(error.message)")
        }
        guard rename(unfinished, data) == 0 else {
            throw EmbeddedPostgresError(.file, "cannot make \(data): \(String(cString: strerror(errno)))")
        }
    }

    private func run(
        _ binaries: ServerBinaries, _ account: ServerAccount, _ sockets: SocketDirectory
    ) async throws -> ChildProcess {
        var settings = [
            "listen_addresses=", "unix_socket_directories=\(sockets.path)", "unix_socket_permissions=0700", "port=5432",
            "max_connections=200", "jit=off", "logging_collector=off", "log_destination=stderr",
        ]
        if !durable {
            settings += ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off"]
        }
        let arguments = [binaries.postgres, "-D", data] + settings.flatMap { ["-c", $0] }
        let size = (try? FileManager.default.attributesOfItem(atPath: log)[.size] as? Int) ?? 0
        let server = try await ChildProcess.start(
            account.command(arguments, endsWithUs: true), environment: environment, output: log)
        let file = PostmasterFile(data)
        let settled = await Polling.until(Self.startLimit) {
            server.exitStatus != nil || file.isReady(process: server.processID)
        }
        if settled, server.exitStatus == nil { return server }
        let reason = server.exitStatus.map { "it ended with status \($0)" } ?? "it did not answer in \(Self.startLimit)"
        server.send(signal: SIGQUIT)
        sockets.remove()
        let words = FileManager.default.contents(atPath: log).map {
            String(decoding: $0.dropFirst(size).suffix(2000), as: UTF8.self)
        }
        throw EmbeddedPostgresError(
            .failed, "the private database in \(directory) did not start: \(reason). Its log: \(words ?? "")")
    }

    /// Without `PG…` variables, which would reach into the server's tools, and with fixed messages.
    private var environment: [String: String] {
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
        environment["LC_ALL"] = "C.UTF-8"
        return environment
    }
}
