/// The behaviours the sandbox plays, each under a base path of its own: `/{class}/token`, `/{class}/api/me`.
/// What each does with a refresh token that is presented twice: the table *Replay classes* in `docs/sandbox.md`.
package enum ProviderClass: String, Sendable, Hashable, CaseIterable, Codable, CodingKeyRepresentable {
    /// The refresh token never changes.
    case replayable
    /// A spent refresh token lives until its successor, or the access token that came with it, is first used.
    case untilUsed = "until-used"
    /// A spent refresh token answers again for `window_seconds`, or until its successor is used.
    case windowed
    /// A refresh token works once; a replay is refused and does nothing else.
    case strict
    /// A refresh token works once; a replay kills the grant.
    case strictFamily = "strict-family"
    /// A refresh token works once; a replay kills the client: from then on it gets `invalid_client`.
    case strictApp = "strict-app"
    /// No OAuth: API keys, made and revoked over the control API.
    case key

    /// What a refresh does to the token it presents.
    enum Rotation: Sendable { case never, untilUsed, windowed, once }

    var rotation: Rotation {
        switch self {
        case .replayable, .key: .never
        case .untilUsed: .untilUsed
        case .windowed: .windowed
        case .strict, .strictFamily, .strictApp: .once
        }
    }

    /// Whether the class has authorize, token, revoke and introspect endpoints.
    var isOAuth: Bool { self != .key }
}

/// The kinds of request that faults and gates can select.
package enum SandboxEndpoint: String, Sendable, Hashable, CaseIterable, Codable {
    case tokenCode = "token-code"
    case tokenRefresh = "token-refresh"
    case revoke
    case api
}
