import Foundation

/// What keeps an attempt from losing a grant or telling a user falsely, one by one. All are always in force: there is no
/// configuration for them. Tests take one out and show that the count it protects is then no longer zero, so that none
/// is kept by habit. What each is worth, found by model checking: `docs/lifecycle-chaos.md`.
package struct ProtocolGuards: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A commit compares grant and generation.
    package static let fence = ProtocolGuards(rawValue: 1 << 0)
    /// Every attempt is known by a nonce of its own.
    package static let nonce = ProtocolGuards(rawValue: 1 << 1)
    /// The last check before the first byte: whether there is still time to send.
    package static let sendHook = ProtocolGuards(rawValue: 1 << 2)
    /// A refusal changes a row only when that is still as it was marked.
    package static let reread = ProtocolGuards(rawValue: 1 << 3)
    /// Intents and answers are written to the journal.
    package static let escrow = ProtocolGuards(rawValue: 1 << 4)
    /// An answer that lost its compare-and-set is kept.
    package static let alternates = ProtocolGuards(rawValue: 1 << 5)
    /// A first refusal is tested again before anyone is told.
    package static let suspicion = ProtocolGuards(rawValue: 1 << 6)
    /// `strict` waits for the owner of an unknown answer.
    package static let strictWait = ProtocolGuards(rawValue: 1 << 7)
    /// A generation stays ambiguous after its mark has gone.
    package static let ambiguityCarried = ProtocolGuards(rawValue: 1 << 8)
    /// After a change of server nothing that rotates is presented before the journals are replayed.
    package static let hold = ProtocolGuards(rawValue: 1 << 9)

    package static let all: ProtocolGuards = [
        .fence, .nonce, .sendHook, .reread, .escrow, .alternates, .suspicion, .strictWait, .ambiguityCarried, .hold,
    ]

    /// The nonce of a new attempt.
    var newNonce: UUID {
        contains(.nonce) ? UUID() : UUID(uuid: (0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1))
    }
}
