import Connect
import Credentials
import Escrow
import Lifecycle
import Logging
import Pacing
import ServiceLifecycle
import Store

/// Brings what escrow journals keep into the database: the answers of abandoned journals at start, before this process
/// does anything else, and then every `interval`, for a neighbour that died; all that is kept, after a change of the
/// database server. Two processes never recover one journal at once (its lock), and a repeat changes nothing.
package struct EscrowRecovery: Service {
    private let lifecycle: LifecycleServices
    private let keeper: AnswerKeeper
    private let connect: ConnectFlow
    private let replay: JournalReplay
    private let interval: Duration
    private let logger: Logger

    package init(
        _ lifecycle: LifecycleServices, connect: ConnectFlow, interval: Duration = .seconds(15), logger: Logger
    ) {
        self.lifecycle = lifecycle
        keeper = AnswerKeeper(lifecycle)
        self.connect = connect
        replay = JournalReplay(lifecycle) { try await connect.recover(payload: $0.payload) }
        self.interval = interval
        self.logger = logger
    }

    /// Recovers what is there now. Looks at the server first: one that lacks commits is held before anything is done.
    /// - Returns: how many answers and intents were handed over.
    @discardableResult
    package func drain() async -> Int {
        await watch()
        guard let journal = lifecycle.journal else { return 0 }
        for record in journal.overdueExchanges(olderThan: interval) { await settleOverdue(record, journal) }
        return await journal.recoverAbandoned(
            { record in
                switch record.kind {
                case .refreshAnswer: try await keeper.recover(record).settlement
                case .exchangeAnswer: try await connect.recover(payload: record.payload) ? .committed : .noUse
                // The request may still be on its way: the row's mark waits for it like any other's.
                case .intent, .settled: nil
                }
            },
            gone: { id in
                do { try await ServerChanges.forget(journal: id, in: lifecycle.pool) } catch {
                    logger.warning("a journal's row stays", metadata: ["journal": "\(id)", "error": "\(error)"])
                }
            })
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        try? await Task.sleep(for: interval)
                        await drain()
                    }
                }
                group.addTask {
                    while !Task.isCancelled {
                        await watch()
                        await pause()
                    }
                }
            }
        }
        await leave()
    }

    /// Until the next look; shorter when a mark found the server changed.
    private func pause() async {
        let end = BootInstant.now().advanced(by: lifecycle.timings.serverWatch)
        while BootInstant.now() < end, !Task.isCancelled, !lifecycle.server.takeSuspicion() {
            try? await Task.sleep(for: min(.milliseconds(100), lifecycle.timings.serverWatch))
        }
    }

    private func watch() async {
        do { try await replay.step() } catch is CancellationError {} catch {
            logger.warning("the database server could not be looked at", metadata: ["error": "\(error)"])
        }
    }

    /// An exchange whose commit failed while the database was away, and whose browser has gone.
    private func settleOverdue(_ record: EscrowRecord, _ journal: EscrowJournal) async {
        do {
            journal.settle(record.key, as: try await connect.recover(payload: record.payload) ? .committed : .noUse)
        } catch {
            logger.warning("an exchange's answer still waits for the database", metadata: ["error": "\(error)"])
        }
    }

    /// A process without answers leaves no journal behind.
    private func leave() async {
        guard let journal = lifecycle.journal, journal.isEmpty else { return }
        try? await ServerChanges.forget(journal: journal.id, in: lifecycle.pool)
    }
}
