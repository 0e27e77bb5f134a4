import Escrow
import Foundation
import Logging
import Metrics
import Pacing
import Postgres
import Store
import Synchronization

// A change of server, from the outside:
//
//   promoted standby   another timeline, and beats that went back by the replication lag
//   restored dump      another system identifier
//   restored snapshot  the same server by name, with beats that went back
//
// Whoever sees it first opens the hold, in one UPDATE. Marks compare for themselves, in their own statement, so nobody
// needs to have been told. Then every process replays its journal twice (answers of one may wait for another's), and
// when all have reported and one more attempt's length is over, the hold ends.

/// What this process knows of the database server. One object a process.
package final class ServerWatch: Sendable {
    private struct Memory {
        var known: Date?
        var hold: ServerSight.Hold?
        var writtenAt: BootInstant?
        var suspects = false
    }

    private let memory: Mutex<Memory>
    private let file: String?

    /// - Parameter directory: of the escrow journal, where the newest beat is remembered over restarts.
    package init(directory: String?) {
        file = directory.map { $0 + "/newest-beat" }
        memory = Mutex(Memory(known: file.flatMap(Self.read)))
    }

    /// The newest beat that was ever seen from here.
    package var known: Date? { memory.withLock(\.known) }
    /// As of the last look.
    package var hold: ServerSight.Hold? { memory.withLock(\.hold) }

    /// A mark was told that the server is held: look again soon.
    func suspect() { memory.withLock { $0.suspects = true } }

    /// Whether somebody suspected a change since the last call.
    package func takeSuspicion() -> Bool {
        memory.withLock { memory in
            defer { memory.suspects = false }
            return memory.suspects
        }
    }

    /// Whether the database says that nothing which rotates may be presented.
    func isHeld(in db: any PostgresQuerying) async throws -> Bool {
        try await ServerChanges.isHeld(known: known, in: db)
    }

    /// Looks once, and remembers.
    package func look(_ services: LifecycleServices) async throws -> ServerSight {
        let sight = try await ServerChanges.look(
            known: known, retention: services.journal?.retention ?? services.timings.journalPatience,
            journal: services.journal?.id, owner: services.owner, in: services.pool)
        let now = BootInstant.now()
        let write = memory.withLock { memory -> Bool in
            memory.hold = sight.hold
            guard sight.beat > memory.known ?? .distantPast else { return false }
            memory.known = sight.beat
            guard memory.writtenAt.map({ $0.duration(to: now) >= .seconds(5) }) ?? true else { return false }
            memory.writtenAt = now
            return true
        }
        if write { try remember(sight.beat) }
        Gauge(label: "server_hold").record(sight.hold == nil ? 0 : 1)
        if sight.isNoticedNow {
            Counter(label: "server_changes_total").increment()
            services.logger.critical(
                "the database server has changed; nothing that rotates is presented until the journals are replayed",
                metadata: ["epoch": "\(sight.epoch)", "because": "\(sight.hold?.rawValue ?? "")"])
        }
        return sight
    }

    private func remember(_ beat: Date) throws {
        guard let file else { return }
        try Data("\(Int64((beat.timeIntervalSince1970 * 1_000_000).rounded()))".utf8)
            .write(to: URL(filePath: file), options: .atomic)
    }

    private static func read(_ file: String) -> Date? {
        FileManager.default.contents(atPath: file).flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
            .map { Date(timeIntervalSince1970: Double($0) / 1_000_000) }
    }
}
