/// Where a connection stands. Who moves it on, and when: `docs/connection-lifecycle.md`.
package enum ConnectionState: String, Sendable, Hashable, CaseIterable, Codable {
    /// Made by a callback whose session asked for a finish; the app's `finish` call makes it active. Unusable.
    case pending
    /// Usable. Left when a refresh, a probe or a call fails, or when it is deleted.
    case active
    /// Trouble at us or at the provider; still usable or retrying; nobody is told. The next success ends it.
    case degraded
    /// Refused once by the provider; tested again before anyone is told.
    case suspected
    /// Refused again, or certain at once. The app was told; a reconnect or a late answer ends it.
    case broken
    /// Deleted by the app; unusable at once; being revoked at the provider.
    case revoking
    /// Secrets destroyed.
    case revoked

    /// Whether the passthrough may use the connection's credential.
    package var isUsable: Bool {
        switch self {
        case .active, .degraded, .suspected: true
        case .pending, .broken, .revoking, .revoked: false
        }
    }
}

/// Why a connection is in its state: a closed list, shown to operators and sent in events.
package enum ConnectionReason: String, Sendable, Hashable, CaseIterable, Codable {
    /// The provider refused the grant: revoked by the user, expired, or removed.
    case refused
    /// The provider said for certain that the token was revoked.
    case revoked = "revoked_at_provider"
    /// An attempt with an unknown answer came before the refusal: our loss cannot be ruled out.
    case rotationLost = "rotation_lost"
    /// The user must act at the provider: consent, MFA, admin policy.
    case needsUser = "needs_user"
    /// The provider took the API key for invalid.
    case keyRefused = "key_refused"
    /// A newer connection of the same account took this one's grant.
    case superseded
    /// The grant has passed an end that refreshing cannot move.
    case expired
    /// No refresh token, and the access token has ended.
    case notRefreshable = "not_refreshable"
    /// Provider answered with an error, a time-out or a limit.
    case providerTrouble = "provider_trouble"
    /// Provider refuses the OAuth app itself; the operator was told.
    case appFault = "app_fault"
    /// Something at us: address policy, keyring, database.
    case ourTrouble = "our_trouble"
    /// An answer nobody has classified.
    case unclassified
    /// The app asked for it.
    case deleted
}
