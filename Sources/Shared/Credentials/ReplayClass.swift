/// What happens at a provider when a refresh token is presented a second time. It decides what may be done after an
/// attempt whose answer is unknown. Meaning and rules: `docs/connection-lifecycle.md`.
package enum ReplayClass: Sendable, Hashable {
    /// The old token stays good.
    case replayable
    /// The old token lives until the new refresh or access token is first used.
    case untilUsed
    /// The old token answers again for this many seconds, counted from the attempt's start.
    case windowed(seconds: Int)
    /// The old token is dead after its use.
    case strict

    /// Whether a successful answer is written to the escrow journal before it is committed: all but `replayable`.
    package var isEscrowed: Bool { self != .replayable }

    /// Whether a refresh spends the token it presents, so that it must not be sent on a reused connection.
    package var rotates: Bool { self != .replayable }
}

/// What a replay after the window, or in `strict`, does besides being refused.
package enum ReplayHarm: String, Sendable, Hashable, CaseIterable {
    case none
    /// Kills the newer token too.
    case family
    /// Endangers the operator's integration at the provider: never replay.
    case app
}
