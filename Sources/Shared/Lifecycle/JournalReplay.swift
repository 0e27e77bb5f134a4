import Escrow
import Foundation
import Logging
import Pacing
import Postgres
import Store

/// Makes good a change of server, one step at a time; any number of processes do it at once.
package struct JournalReplay: Sendable {
    private let services: LifecycleServices
    private let keeper: AnswerKeeper
    private let exchanges: @Sendable (EscrowRecord) async throws -> Void

    /// - Parameter exchanges: commits the answer of a code exchange, if it is missing.
    package init(
        _ services: LifecycleServices, exchanges: @escaping @Sendable (EscrowRecord) async throws -> Void
    ) {
        self.services = services
        self.exchanges = exchanges
        keeper = AnswerKeeper(services)
    }

    /// Looks at the server; while it is held, replays what this process can reach and ends the hold when it may.
    package func step() async throws {
        let sight = try await services.server.look(services)
        guard sight.hold != nil else { return }
        let next = sight.rounds + 1
        if services.journal != nil, next == 1 || next == 2 && sight.isEveryJournalReplayed {
            try await replay(epoch: sight.epoch, round: next)
        }
        guard
            let silent = try await ServerChanges.release(
                attempt: services.timings.attemptLength, patience: services.timings.journalPatience, in: services.pool)
        else { return }
        if silent.isEmpty {
            services.logger.notice("the change of server is made good", metadata: ["epoch": "\(sight.epoch)"])
        } else {
            services.logger.critical(
                "the change of server is over, but journals stayed silent: answers in them may be lost",
                metadata: ["epoch": "\(sight.epoch)", "journals": "\(silent.joined(separator: ", "))"])
        }
    }

    private func replay(epoch: Int64, round: Int) async throws {
        guard let journal = services.journal else { return }
        var count = 0
        let done = try await journal.replay { entries in
            for entry in entries where entry.record.kind == .exchangeAnswer && entry.settlement != .noUse {
                try await exchanges(entry.record)
            }
            count += try await keeper.replay(entries, isLast: round == 2)
        }
        for id in done {
            try await ServerChanges.report(
                journal: id, owner: services.owner, epoch: epoch, round: round, in: services.pool)
        }
        services.logger.notice(
            "journals replayed after a change of server",
            metadata: ["epoch": "\(epoch)", "round": "\(round)", "journals": "\(done.count)", "given_back": "\(count)"])
    }
}
