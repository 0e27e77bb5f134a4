import Connect
import Credentials
import Escrow
import Lifecycle
import Logging
import Pacing
import ServiceLifecycle

/// Brings answers out of abandoned journals into the database: at start, before this process does anything else, and
/// then every `interval`, for a neighbour that died. Two processes never recover one journal at once (its lock), and a
/// repeat changes nothing.
package struct EscrowRecovery: Service {
    private let journal: EscrowJournal?
    private let keeper: AnswerKeeper
    private let connect: ConnectFlow
    private let interval: Duration
    private let logger: Logger

    package init(
        _ lifecycle: LifecycleServices, connect: ConnectFlow, interval: Duration = .seconds(15), logger: Logger
    ) {
        journal = lifecycle.journal
        keeper = AnswerKeeper(lifecycle)
        self.connect = connect
        self.interval = interval
        self.logger = logger
    }

    /// Recovers what is there now.
    /// - Returns: how many answers and intents were handed over.
    @discardableResult
    package func drain() async -> Int {
        guard let journal else { return 0 }
        return await journal.recoverAbandoned { record in
            switch record.kind {
            case .refreshAnswer: try await keeper.recover(record)
            case .exchangeAnswer: try await connect.recover(payload: record.payload)
            // The request may still be on its way: the row's mark waits for it like any other's.
            case .intent, .settled: break
            }
        }
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await drain()
                try? await Task.sleep(for: interval)
            }
        }
    }
}
