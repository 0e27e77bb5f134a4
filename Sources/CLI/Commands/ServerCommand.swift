import ArgumentParser
import Credentials
import Foundation
import Postgres
import Store

struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Show whether the database is the server that is known, and release what a restored backup holds.",
        discussion: """
            After a failover or a restored backup nothing that rotates is presented until every escrow journal has \
            given back what it has. A failover ends by itself. A database that lost more than journals keep waits for \
            `evergrant server release`: docs/restoring-a-backup.md.
            """, subcommands: [Show.self, Release.self], defaultSubcommand: Show.self)

    /// What is held and what it waits for.
    struct Status: Encodable {
        struct Journal: Encodable {
            let journal, owner: String
            let seenAt: Date
            let replays: Int
        }
        let held: Bool
        let because: String?
        let heldSince: Date?
        /// What was committed after it may be missing.
        let lostSince: Date?
        let changes: Int64
        let waitingFor: [Journal]
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What is held, since when, and what it waits for.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let status = try await ServerCommand.status(pool)
                try output.print(status, text: status.text)
            }
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Believe this database again.",
            discussion: """
                Every OAuth connection is marked first: its refresh token may have been spent since the backup, so a \
                refusal is told as rotation_lost and not as the user's doing.
                  evergrant server release --yes
                """)
        @OptionGroup var options: ConfigurationOptions
        @Flag(name: .long, help: "Do it.")
        var yes = false

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let status = try await ServerCommand.status(pool)
                guard status.held else {
                    print("nothing is held")
                    return
                }
                guard yes else {
                    print(status.text)
                    throw InvalidValue(
                        item: "server release", problem: "changes every OAuth connection", repair: "add --yes")
                }
                var last: Int64? = 0
                while let after = last {
                    last = try await ServerChanges.doubt(after: after, limit: 5000, in: pool)
                }
                _ = try await ServerChanges.releaseByHand(in: pool)
                print("released: rotating grants are refreshed again, the oldest doubt first")
            }
        }
    }

    private static func status(_ pool: PostgresPool) async throws -> Status {
        guard let state = try await ServerChanges.state(in: pool) else {
            return Status(
                held: false, because: nil, heldSince: nil, lostSince: nil, changes: 0, waitingFor: [])
        }
        let waiting = try await ServerChanges.waiting(in: pool).map {
            Status.Journal(
                journal: $0.incarnation.uuidString.lowercased(), owner: $0.owner, seenAt: $0.seenAt, replays: $0.rounds)
        }
        return Status(
            held: state.heldSince != nil, because: state.hold?.rawValue, heldSince: state.heldSince,
            lostSince: state.heldSince == nil ? nil : state.lostSince, changes: state.epoch - 1, waitingFor: waiting)
    }
}

extension ServerCommand.Status {
    fileprivate var text: String {
        guard held, let heldSince else { return "the server that is known; \(changes) changes so far" }
        var lines = ["held since \(heldSince.tableText): \(reason)"]
        if let lostSince { lines.append("commits after \(lostSince.tableText) may be missing") }
        if waitingFor.isEmpty {
            lines.append("every journal has been replayed")
        } else {
            lines.append("waiting for journals:")
            lines += waitingFor.map {
                "  \($0.owner), last seen \($0.seenAt.tableText), replayed \($0.replays) of 2 times"
            }
        }
        if because == ServerSight.Hold.restored.rawValue {
            lines.append("start every process once, then: evergrant server release --yes")
        }
        return lines.joined(separator: "\n")
    }

    private var reason: String {
        because == ServerSight.Hold.restored.rawValue
            ? "the database lost more than journals keep (a restored backup)" : "the database server has changed"
    }
}
