import ChaosSupport
import Foundation
import Logging
import Pacing
import Postgres
import Queue
import ServiceLifecycle
import Synchronization
import UnixSignals

/// An app that enqueues: by itself, in transactions that commit, roll back or stay open, with keys, for later; and that
/// cancels some of its jobs. Ends on SIGTERM once every caller has its answer.
struct EnqueuerProcess {
    private let orders: ProcessOrders
    private let history: HistoryFile
    private let logger: Logger

    init(_ orders: ProcessOrders, _ history: HistoryFile) {
        self.orders = orders
        self.history = history
        logger = Logger(label: orders.name) { _ in HistoryLog(history: history) }
    }

    func run() async throws {
        let pool = PostgresPool(orders.configuration(connections: orders.pace.callers + 1), logger: logger)
        let calls = CallCounter()
        let callers = (0..<orders.pace.callers).map { number in
            Caller(
                name: orders.name, seed: orders.seed &+ UInt64(number), calls: calls, pool: pool,
                queue: JobQueue(pool: pool, logger: logger), history: history, pace: orders.pace)
        }
        let group = ServiceGroup(
            configuration: .init(
                services: callers.map {
                    .init(service: $0, successTerminationBehavior: .ignore)
                }, gracefulShutdownSignals: [.sigterm],
                logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        await pool.close(grace: .zero)
    }
}

/// Numbers the calls of a process.
final class CallCounter: Sendable {
    private let count = Mutex(0)

    func next() -> Int {
        count.withLock {
            $0 += 1
            return $0
        }
    }
}

/// One caller: a call after another.
private struct Caller: Service {
    let name: String
    let seed: UInt64
    let calls: CallCounter
    let pool: PostgresPool
    let queue: JobQueue
    let history: HistoryFile
    let pace: Pace

    /// Thrown to roll back.
    private struct OnPurpose: Error {}

    func run() async throws {
        var random = SeededRandom(seed: seed)
        var mine: [Int64] = []
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            if random.chance(pace.keyed) {
                await enqueueKeyed(&random)
            } else {
                mine = await (mine + enqueue(&random)).suffix(50)
            }
            // Not those with keys: a cancel takes their wake-ups with it, by order.
            if random.chance(4), let victim = mine.randomElement(using: &random) { await cancel(victim) }
            try? await Task.sleep(for: random.milliseconds(0...pace.pause))
            // A long line would keep most jobs out of the way of what happens to workers.
            if random.chance(10), await isLineLong() { try? await Task.sleep(for: .milliseconds(500)) }
        }
    }

    private func isLineLong() async -> Bool {
        (try? await pool.execute(ChaosSQL.lineLength).first?.decode(Int.self)) ?? 0 >= ChaosSQL.longLine
    }

    // MARK: Without keys

    private func enqueue(_ random: inout SeededRandom) async -> [Int64] {
        let call = calls.next()
        let kinds: [ChaosKind] = [.plain, .plain, .effect, .effect, .fenced, .trouble]
        var wanted: [Wanted] = []
        var jobs: [NewJob] = []
        for place in 0..<Int.random(in: 1...4, using: &random) {
            let kind = kinds.randomElement(using: &random) ?? .plain
            let token = "\(name)/\(call)/\(place)"
            wanted.append(Wanted(token: token, kind: kind, key: nil))
            jobs.append(
                NewJob(
                    kind: kind.rawValue, arguments: Self.json(ChaosHandler.Arguments(token: token)),
                    environmentID: .random(in: 1...3, using: &random), priority: .random(in: 1...2, using: &random),
                    runAt: random.chance(20)
                        ? Date(timeIntervalSinceNow: .random(in: 0...2, using: &random)) : nil,
                    maximumAttempts: kind == .trouble ? 4 : 25,
                    limitKeys: random.chance(15) ? ["narrow", "wide"] : random.chance(15) ? ["wide"] : []))
        }
        let inTransaction = random.chance(60)
        return await perform(
            call, wanted, &random, { [jobs] in try await queue.enqueue(jobs, in: $0) },
            inTransaction: inTransaction)
    }

    // MARK: With keys

    private func enqueueKeyed(_ random: inout SeededRandom) async {
        let call = calls.next()
        // All enqueuers of a machine have the same clock, and so the same keys.
        let life = BootInstant.now().nanoseconds / 1_000_000 / Int64(pace.keyLife)
        var wanted: [Wanted] = []
        var jobs: [NewJob] = []
        for place in 0..<Int.random(in: 1...3, using: &random) {
            let key = "\(life).\(Int.random(in: 0..<pace.keys, using: &random))"
            if jobs.contains(where: { $0.uniqueKey == key }) { continue }
            let token = "\(name)/\(call)/\(place)"
            wanted.append(Wanted(token: token, kind: .keyed, key: key))
            jobs.append(
                NewJob(
                    kind: ChaosKind.keyed.rawValue,
                    arguments: Self.json(ChaosHandler.Arguments(token: token, key: key)), environmentID: 1,
                    queue: "keyed", priority: .random(in: 1...2, using: &random),
                    runAt: random.chance(15) ? Date(timeIntervalSinceNow: .random(in: 0...1, using: &random)) : nil,
                    uniqueKey: key))
        }
        // The fact beside the enqueue: its key's next run must see it.
        let facts = wanted
        _ = await perform(
            call, wanted, &random,
            { [jobs] transaction in
                try await transaction?.execute(
                    ChaosSQL.writeFacts, [.textArray(facts.map(\.token)), .textArray(facts.map(\.key))])
                return try await queue.enqueue(jobs, in: transaction)
            }, inTransaction: true)
    }

    // MARK: Both

    private func perform(
        _ call: Int, _ wanted: [Wanted], _ random: inout SeededRandom,
        _ send: @Sendable (PostgresTransaction?) async throws -> [EnqueuedJob], inTransaction: Bool
    ) async -> [Int64] {
        let hold = random.chance(pace.late) ? random.milliseconds(1...pace.lateness) : .zero
        let rollsBack = random.chance(10)
        history.record(.asked(call: call, jobs: wanted))
        do {
            let results =
                inTransaction
                ? try await pool.transaction { transaction in
                    let results = try await send(transaction)
                    if hold > .zero { try await Task.sleep(for: hold) }
                    if rollsBack { throw OnPurpose() }
                    return results
                } : try await send(nil)
            let answers = zip(wanted, results).map {
                Answer(token: $0.token, job: $1.jobID, outcome: $1.outcome.rawValue)
            }
            history.record(.answered(call: call, verdict: .committed, jobs: answers))
            return results.compactMap(\.jobID)
        } catch {
            let verdict = inTransaction ? Self.verdict(transaction: error) : Self.verdict(single: error)
            history.record(.answered(call: call, verdict: verdict, jobs: []))
            return []
        }
    }

    private func cancel(_ job: Int64) async {
        history.record(.cancelAsked(job: job))
        let result = try? await queue.cancel(job)
        history.record(.cancelAnswered(job: job, result: result?.rawValue))
    }

    /// A transaction is rolled back unless the answer to its COMMIT was lost.
    private static func verdict(transaction error: any Error) -> Verdict {
        (error as? PostgresError)?.code == .commitUnknown ? .unknown : .rolledBack
    }

    /// A statement by itself: only when nothing was sent, or the server refused it, nothing happened.
    private static func verdict(single error: any Error) -> Verdict {
        switch (error as? PostgresError)?.code {
        case .unreachable, .poolExhausted, .server: .rolledBack
        default: .unknown
        }
    }

    private static func json(_ arguments: ChaosHandler.Arguments) -> [UInt8] {
        // Strings and numbers always encode.
        (try? JSONEncoder().encode(arguments)).map { [UInt8]($0) } ?? Array("{}".utf8)
    }
}
