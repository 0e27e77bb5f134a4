import EmbeddedPostgres
import Foundation
import Logging
import Postgres
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

@Suite struct EmbeddedClusterTests {
    private static let logger = Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() }
    private let logger = EmbeddedClusterTests.logger

    /// Gives `body` a directory that is removed afterwards, with the cluster in it stopped.
    private func withDirectory(_ name: String = "", _ body: (String) async throws -> Void) async throws {
        let base = NSTemporaryDirectory() + "/evergrant-cluster-\(UInt32.random(in: 0 ... .max))"
        mkdir(base, 0o755)
        chmod(base, 0o755)
        defer { try? FileManager.default.removeItem(atPath: base) }
        try await body(base + "/cluster" + name)
    }

    private func query(_ url: String, _ sql: String) async throws -> String {
        let connection = PostgresConnection(PostgresConfiguration(url: url), logger: logger)
        let rows = try await connection.execute(PostgresStatement("ask", sql))
        let answer = try rows.map { try $0.decode(String.self) }.first ?? ""
        await connection.close()
        return answer
    }

    private func process(_ directory: String) throws -> Int32 {
        let text = try String(contentsOfFile: directory + "/data/postmaster.pid", encoding: .utf8)
        return try #require(text.split(separator: "\n").first.flatMap { Int32($0) })
    }

    @Test func `a cluster keeps its data from one start to the next and is reached by its socket alone`() async throws {
        try await withDirectory { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: true, logger: logger)
            let url = try await cluster.start()
            #expect(try await cluster.start() == url)
            let addresses = try await query(url, "SELECT current_setting('listen_addresses')")
            let safety = try await query(url, "SELECT current_setting('fsync') || current_setting('full_page_writes')")
            #expect(addresses == "")
            #expect(safety == "onon")
            var status = stat()
            #expect(stat(directory + "/socket", &status) == 0 && status.st_mode & 0o777 == 0o700)
            _ = try await query(url, "CREATE TABLE kept AS SELECT 'ü' AS s")
            let server = try process(directory)
            await cluster.stop()
            #expect(kill(server, 0) != 0)
            #expect(!FileManager.default.fileExists(atPath: directory + "/socket"))

            let again = EmbeddedCluster(directory: directory, durable: true, logger: logger)
            let kept = try await query(try await again.start(), "SELECT s FROM kept")
            #expect(kept == "ü")
            await again.stop()
        }
    }

    @Test func `a cluster in use is refused, and named with its owner`() async throws {
        try await withDirectory { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
            _ = try await cluster.start()
            let error = await #expect(throws: EmbeddedPostgresError.self) {
                _ = try await EmbeddedCluster(directory: directory, durable: false, logger: logger).start()
            }
            #expect(error?.code == .inUse)
            #expect(error?.message.contains("process \(getpid())") == true)
            await cluster.destroy()
            #expect(!FileManager.default.fileExists(atPath: directory))
        }
    }

    @Test func `a path too long for a socket gets one elsewhere`() async throws {
        try await withDirectory("-" + String(repeating: "x", count: 100)) { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
            let url = try await cluster.start()
            let place = try await query(url, "SELECT current_setting('unix_socket_directories')")
            #expect(place.hasPrefix("/tmp/evergrant-socket-"))
            await cluster.stop()
            #expect(!FileManager.default.fileExists(atPath: place))
        }
    }

    @Test func `a server whose owner is gone is stopped and its data taken over`() async throws {
        try await withDirectory { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
            let url = try await cluster.start()
            let binary = try await query(url, "SELECT setting FROM pg_config WHERE name = 'BINDIR'") + "/postgres"
            _ = try await query(url, "CREATE TABLE kept AS SELECT 'x' AS s")
            await cluster.stop()

            // As after a killed owner: the server runs, and nobody holds the directory.
            let orphan = Process()
            let owner = try FileManager.default.attributesOfItem(atPath: directory + "/data")
            let user = try #require(owner[.ownerAccountID] as? Int)
            let group = try #require(owner[.groupOwnerAccountID] as? Int)
            orphan.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
            orphan.arguments =
                (geteuid() == 0 ? ["--reuid", "\(user)", "--regid", "\(group)", "--clear-groups"] : [])
                + [
                    binary, "-D", directory + "/data", "-c", "listen_addresses=", "-c",
                    "unix_socket_directories=\(directory)/data",
                ]
            orphan.standardError = FileHandle.nullDevice
            orphan.standardOutput = FileHandle.nullDevice
            try orphan.run()
            let file = directory + "/data/postmaster.pid"
            while orphan.isRunning, (try? String(contentsOfFile: file, encoding: .utf8))?.contains("ready") != true {
                await Task.yield()
            }

            let kept = try await query(try await cluster.start(), "SELECT s FROM kept")
            #expect(kept == "x")
            orphan.waitUntilExit()
            #expect(orphan.terminationStatus == 0)
            await cluster.stop()
        }
    }

    @Test func `the traces of a server that is no more do not hinder a start`() async throws {
        try await withDirectory { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
            _ = try await cluster.start()
            await cluster.stop()
            // Its number now belongs to another process: this one.
            try "\(getpid())\n\(directory)/data\n".write(
                toFile: directory + "/data/postmaster.pid", atomically: true, encoding: .utf8)
            try FileManager.default.createDirectory(atPath: directory + "/socket", withIntermediateDirectories: true)
            try "\(getpid())\n".write(
                toFile: directory + "/socket/.s.PGSQL.5432.lock", atomically: true, encoding: .utf8)
            // What an interrupted initdb leaves.
            try FileManager.default.createDirectory(
                atPath: directory + "/data.new/base", withIntermediateDirectories: true)
            let answer = try await query(try await cluster.start(), "SELECT 'here'")
            #expect(answer == "here")
            await cluster.stop()
        }
    }

    @Test func `a server that does not start is quoted`() async throws {
        try await withDirectory { directory in
            let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
            _ = try await cluster.start()
            await cluster.stop()
            let file = try #require(FileHandle(forWritingAtPath: directory + "/data/postgresql.conf"))
            try file.seekToEnd()
            try file.write(contentsOf: Data("\nnonsense_setting = 1\n".utf8))
            try file.close()
            let error = await #expect(throws: EmbeddedPostgresError.self) { _ = try await cluster.start() }
            #expect(error?.code == .failed)
            #expect(error?.message.contains("nonsense_setting") == true)
        }
    }

    @Test(.enabled(if: geteuid() == 0)) func `as root, a directory closed to the server's user is named`() async throws
    {
        try await withDirectory { directory in
            let closed = (directory as NSString).deletingLastPathComponent + "/closed"
            mkdir(closed, 0o700)
            let error = await #expect(throws: EmbeddedPostgresError.self) {
                _ = try await EmbeddedCluster(directory: closed + "/x", durable: false, logger: logger).start()
            }
            #expect(error?.code == .account)
            #expect(
                error?.message.contains("cannot enter \(URL(fileURLWithPath: closed).standardizedFileURL.path)") == true
            )
        }
    }
}
