import Foundation
import Logging

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// `postmaster.pid`, in which the server writes its process number (line 1) and its state (line 8), as `pg_ctl` reads it.
struct PostmasterFile: Sendable {
    private let data: String
    private var path: String { data + "/postmaster.pid" }

    init(_ data: String) { self.data = data }

    func isReady(process: Int32?) -> Bool {
        let lines = self.lines
        guard let process, lines.count >= 8, Int32(lines[0]) == process else { return false }
        return lines[7].hasPrefix("ready")
    }

    /// Stops a server whose owner was killed, and removes the file of one that is no more. Only for the holder of the
    /// directory's lock.
    func takeOver(_ logger: Logger) async throws {
        guard let number = lines.first.flatMap({ Int32($0) }), number > 1 else { return }
        if isServer(number) {
            logger.notice("stopping a private database that was left behind", metadata: ["pid": "\(number)"])
            await Self.stop(limit: .seconds(20), signal: { kill(number, $0) }, hasEnded: { !isServer(number) })
            if isServer(number) {
                throw EmbeddedPostgresError(
                    .inUse, "the private database in \(data) still runs as process \(number) and cannot be stopped")
            }
        }
        // The server itself would refuse when the number now belongs to another process of its user.
        unlink(path)
    }

    /// Asks a server to end: in order (SIGINT), then at once (SIGQUIT), then not at all (SIGKILL).
    static func stop(limit: Duration, signal: (Int32) -> Void, hasEnded: () -> Bool) async {
        for (number, limit) in [(SIGINT, limit), (SIGQUIT, .seconds(5)), (SIGKILL, .seconds(5))] {
            if hasEnded() { return }
            signal(number)
            if await Polling.untilEvenCancelled(limit, hasEnded) { return }
        }
    }

    private var lines: [Substring] {
        guard let content = FileManager.default.contents(atPath: path) else { return [] }
        return String(decoding: content, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Whether that process is the server of this directory: it works in its data directory.
    private func isServer(_ number: Int32) -> Bool {
        guard let place = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(number)/cwd") else {
            return false
        }
        return URL(fileURLWithPath: place).standardizedFileURL.resolvingSymlinksInPath().path
            == URL(fileURLWithPath: data).standardizedFileURL.resolvingSymlinksInPath().path
    }
}
