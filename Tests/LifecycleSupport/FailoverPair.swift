import ChaosSupport
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

/// Two servers of a test's own, the second an asynchronous standby of the first: to fail over to one that lacks the last
/// commits.
package actor FailoverPair {
    package nonisolated let directory: String
    private let primary: EmbeddedCluster
    private let standby: EmbeddedCluster
    package private(set) var primaryURL = ""
    package private(set) var standbyURL = ""

    package init(_ name: String) {
        directory = "/tmp/evergrant-failover-\(getpid())-\(name)"
        primary = EmbeddedCluster(directory: directory + "/primary", durable: true, logger: Self.logger)
        standby = EmbeddedCluster(directory: directory + "/standby", durable: true, logger: Self.logger)
    }

    /// Starts the first with the whole schema, copies it, and starts the copy as its standby.
    package func start() async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        chmod(directory, 0o711)
        primaryURL = try await primary.start()
        let pool = PostgresPool(PostgresConfiguration(url: primaryURL), logger: Self.logger)
        try await pool.executeScript(PostgresStatement("leave writes to the system", "alter system set fsync = off"))
        try await pool.executeScript(PostgresStatement("reload", "select pg_reload_conf()"))
        try await SchemaMigrator(pool: pool, logger: Self.logger).migrate()
        let binaries = try await pool.execute(
            PostgresStatement("find binaries", "select setting from pg_config where name = 'BINDIR'"), []
        ).first?.decode(String.self)
        await pool.close()
        try await copy(with: (binaries ?? "/usr/bin") + "/pg_basebackup")
        standbyURL = try await standby.start()
    }

    /// Everything the first has committed is on the second.
    package func catchUp() async throws {
        let first = PostgresPool(PostgresConfiguration(url: primaryURL), logger: Self.logger)
        let second = PostgresPool(PostgresConfiguration(url: standbyURL), logger: Self.logger)
        let wanted = try await first.execute(PostgresStatement("where", "select pg_current_wal_lsn()::text"), []).first?
            .decode(String.self)
        let reached = PostgresStatement("reached", "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn")
        for _ in 0..<2000 {
            if let row = try await second.execute(reached, [.text(wanted ?? "0/0")]).first, try row.decode(Bool.self) {
                await first.close()
                await second.close()
                return
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw ChaosError("the standby did not reach \(wanted ?? "?") in 20 s")
    }

    /// From now on the second hears of nothing.
    package func cutReplication() async throws {
        let pool = PostgresPool(PostgresConfiguration(url: standbyURL), logger: Self.logger)
        try await pool.executeScript(PostgresStatement("forget", "alter system set primary_conninfo = ''"))
        try await pool.executeScript(PostgresStatement("reload", "select pg_reload_conf()"))
        let receivers = PostgresStatement("receivers", "select count(*) from pg_stat_wal_receiver")
        for _ in 0..<2000 {
            if let row = try await pool.execute(receivers, []).first, try row.decode(Int.self) == 0 { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        await pool.close()
    }

    /// The first is gone, and the second is what there is.
    package func failOver() async throws {
        await primary.destroy()
        let pool = PostgresPool(PostgresConfiguration(url: standbyURL), logger: Self.logger)
        let promote = PostgresStatement("promote", "select pg_promote(true, 60)")
        guard let row = try await pool.execute(promote, []).first, try row.decode(Bool.self) else {
            throw ChaosError("the standby was not promoted in 60 s")
        }
        await pool.close()
    }

    package func end() async {
        await primary.destroy()
        await standby.destroy()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func copy(with program: String) async throws {
        let target = directory + "/standby"
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        chmod(target, 0o711)
        let items = URLComponents(string: primaryURL)?.queryItems ?? []
        let host = items.first { $0.name == "host" }?.value ?? ""
        let child = try await ChildProcess.start(
            [
                program, "-h", host, "-p", "5432", "-U", "postgres", "-D", target + "/data", "-R", "-X", "stream",
                "--checkpoint=fast", "--no-sync",
            ], environment: ProcessInfo.processInfo.environment, output: target + "/basebackup.log")
        guard await child.end() == 0 else {
            let log = (try? String(contentsOfFile: target + "/basebackup.log", encoding: .utf8)) ?? ""
            throw ChaosError("pg_basebackup failed: \(log.suffix(600))")
        }
        // The server runs as the owner of the first one's data.
        var owner = stat()
        guard stat(directory + "/primary/data", &owner) == 0 else { throw ChaosError("no data in \(directory)") }
        chown(target + "/data", owner.st_uid, owner.st_gid)
        for name in FileManager.default.enumerator(atPath: target + "/data") ?? .init() {
            lchown("\(target)/data/\(name)", owner.st_uid, owner.st_gid)
        }
    }

    private static let logger = Logger(label: "failover") { _ in SwiftLogNoOpLogHandler() }
}
