import Credentials
import Escrow
import Foundation
import Logging
import Metrics
import Postgres
import Store

extension AnswerKeeper {
    /// Gives back to the database what a change of server has taken from it: every answer and every intent that a
    /// journal still keeps, by generation. A repeat changes nothing.
    ///
    /// The rows are asked for in batches first: nearly all of them have everything.
    /// - Parameters:
    ///   - entries: of refreshes; others are passed over.
    ///   - isLast: nothing can come any more that an intent may be waiting for.
    /// - Returns: how many answers were installed or kept.
    package func replay(_ entries: [EscrowEntry], isLast: Bool) async throws -> Int {
        var presented: Set<UUID> = []
        var answers: [(answer: EscrowedAnswer, settled: EscrowSettlement?)] = []
        var intents: [EscrowedIntent] = []
        for entry in entries {
            switch entry.record.kind {
            case .refreshAnswer: answers.append((try EscrowedAnswer(payload: entry.record.payload), entry.settlement))
            case .intent:
                guard let intent = try? EscrowedIntent(payload: entry.record.payload) else { continue }
                if let alternate = intent.alternate { presented.insert(alternate) }
                // A definite outcome says that this token is as it was.
                if entry.settlement == nil { intents.append(intent) }
            case .exchangeAnswer, .settled: continue
            }
        }
        var count = 0
        for start in stride(from: 0, to: answers.count, by: 500) {
            let batch = answers[start..<min(start + 500, answers.count)]
            let behind = try await Connections.behind(
                batch.map { ($0.answer.connectionID, $0.answer.grantID, $0.answer.generation) }, in: services.pool)
            for (answer, settled) in batch
            where behind.contains(answer.connectionID) || settled == .alternate || settled == nil {
                if try await give(answer, settled, wasPresented: presented.contains(answer.nonce)) { count += 1 }
            }
        }
        for intent in intents {
            try await Attempts.doubt(
                connectionID: intent.connectionID, grantID: intent.grantID, generation: intent.generation,
                since: intent.startedAt, exactly: !isLast, in: services.pool)
        }
        return count
    }

    private func give(
        _ answer: EscrowedAnswer, _ settled: EscrowSettlement?, wasPresented: Bool
    ) async throws -> Bool {
        if settled == .noUse { return false }
        let opened = try await open(answer)
        let tokens = NewTokenSet(sealed: Array(answer.sealed), schedule: try schedule(answer, opened))
        let kept = try await services.pool.transaction { transaction in
            try await reconcile(answer, tokens, settled: settled, wasPresented: wasPresented, in: transaction)
        }
        if settled == nil, kept != .obsolete { services.journal?.settle(answer.nonce, as: kept.settlement) }
        guard kept != .obsolete else { return false }
        Counter(label: "escrow_replayed_total", dimensions: [("outcome", "\(kept)")]).increment()
        services.logger.notice(
            "an answer that the new server lacked was given back",
            metadata: ["connection": "\(answer.connectionID)", "outcome": "\(kept)"])
        return true
    }
}
