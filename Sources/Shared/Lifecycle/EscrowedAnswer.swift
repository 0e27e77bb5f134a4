import Credentials
import Foundation
import Store

/// A provider's answer to a refresh, as the escrow journal keeps it: enough to commit it without the process that got
/// it. The token set inside is sealed.
struct EscrowedAnswer: Codable, Sendable {
    let environmentID: Int64
    let connectionID: Int64
    let uid: UUID
    let grantID: UUID
    /// The generation that was presented; the answer becomes the next one.
    let generation: Int64
    let nonce: UUID
    /// The attempt's start, by the database's clock.
    let issuedAt: Date
    let provider: String
    let integration: String
    /// Whether a token has one successor at this provider.
    let isStrict: Bool
    /// Sealed for ``SealContext/connectionTokens(environmentID:uid:generation:)`` of `generation + 1`.
    let sealed: Data

    var mark: AttemptMark { AttemptMark(connectionID: connectionID, nonce: nonce) }

    func payload() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

    init(payload: [UInt8]) throws { self = try JSONDecoder().decode(Self.self, from: Data(payload)) }

    init(_ marked: MarkedAttempt, isStrict: Bool, sealed: [UInt8]) {
        environmentID = marked.environmentID
        connectionID = marked.mark.connectionID
        uid = marked.uid
        grantID = marked.grantID
        generation = marked.generation
        nonce = marked.mark.nonce
        issuedAt = marked.startedAt
        provider = marked.provider
        integration = marked.integration
        self.isStrict = isStrict
        self.sealed = Data(sealed)
    }
}

/// What the journal keeps of an intent: which token of which grant may have been presented.
struct EscrowedIntent: Codable, Sendable {
    let connectionID: Int64
    let grantID: UUID
    let generation: Int64
    /// The attempt's start, by the database's clock.
    let startedAt: Date
    /// The attempt whose answer was presented, when it was an alternate.
    let alternate: UUID?

    func payload() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

    init(payload: [UInt8]) throws { self = try JSONDecoder().decode(Self.self, from: Data(payload)) }

    init(_ marked: MarkedAttempt, alternate: UUID?) {
        connectionID = marked.mark.connectionID
        grantID = marked.grantID
        generation = marked.generation
        startedAt = marked.startedAt
        self.alternate = alternate
    }
}
