import Escrow
import Foundation

extension EscrowJournal: AnswerEscrow {
    package func keep(_ payload: [UInt8], key: UUID) async throws {
        try await append(.exchangeAnswer, key: key, payload: payload)
    }

    package func settle(key: UUID) async { settle(key) }
}
