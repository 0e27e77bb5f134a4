import Foundation
import Postgres

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What the figures depend on beside the code.
package struct Conditions: Codable, Sendable {
    package let date: Date
    package let server: String
    package let settings: [String: String]
    package let kernel: String
    package let processor: String
    package let cores: Int
    /// GiB.
    package let memory: Double
    /// Of the last minute, before anything was measured.
    package let load: Double
    /// Milliseconds of one 8 KiB write and fdatasync in the cluster's file system, median of 200; nil when the server's
    /// disk is not ours to write to.
    package let sync: Double?
    package let build: String
    package let connection: String

    /// Settings of the server that move the figures.
    static let names = [
        "fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_compression", "shared_buffers",
        "max_wal_size", "checkpoint_timeout", "autovacuum", "autovacuum_naptime", "max_connections", "jit",
        "wal_sync_method", "commit_delay", "io_method",
    ]

    static func read(from pool: PostgresPool, syncing directory: String?, connection: String) async throws -> Conditions
    {
        let rows = try await pool.execute(
            PostgresStatement(
                "read settings",
                "select name, current_setting(name) from pg_settings where name = any($1) union all select '', version()"
            ),
            [.textArray(names)])
        var settings: [String: String] = [:]
        for row in rows {
            let (name, value) = try row.decode(String.self, String.self)
            settings[name] = value
        }
        let server = settings.removeValue(forKey: "") ?? "?"
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let cpu = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = cpu.split(separator: "\n").first { $0.hasPrefix("model name") }
            .map { String($0.drop { $0 != ":" }.dropFirst(2)) }
        var averages = [0.0]
        getloadavg(&averages, 1)
        #if DEBUG
            let build = "debug"
        #else
            let build = "release"
        #endif
        return Conditions(
            date: Date(), server: server, settings: settings, kernel: kernel, processor: model ?? "?",
            cores: ProcessInfo.processInfo.activeProcessorCount,
            memory: Double(ProcessInfo.processInfo.physicalMemory) / 1_073_741_824, load: averages[0],
            sync: directory.flatMap(syncTime), build: build, connection: connection)
    }

    /// Median milliseconds of one write and fdatasync there.
    private static func syncTime(in directory: String) -> Double? {
        let path = directory + "/sync-\(getpid())"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { return nil }
        defer {
            close(file)
            unlink(path)
        }
        let page = [UInt8](repeating: 1, count: 8192)
        let clock = ContinuousClock()
        let times = (0..<200).map { turn in
            clock.measure {
                pwrite(file, page, page.count, off_t(turn % 64) * 8192)
                fdatasync(file)
            } / .milliseconds(1)
        }
        return times.quantile(0.5)
    }

    package var text: String {
        """
        \(server)
        \(settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        \(cores) cores for everything at once (\(processor)), \(String(format: "%.1f", memory)) GiB, Linux \(kernel), \
        load before \(String(format: "%.2f", load))\
        \(sync.map { ", fdatasync of 8 KiB \(String(format: "%.3f", $0)) ms" } ?? "")
        \(build) build, \(connection), \(date.formatted(.iso8601))
        """
    }
}
