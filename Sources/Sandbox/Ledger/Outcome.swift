/// What the provider decided about a request. Whether the client ever heard of it is another matter: see `delivery`.
package enum Outcome: String, Sendable, Hashable, CaseIterable, Codable {
    /// A first token set, or the next one.
    case issued
    /// A spent refresh token that still answers got one more.
    case reissued
    /// The token, code, key or its grant is dead, unknown or expired.
    case refused
    /// A spent refresh token was refused.
    case refusedReplay = "refused_replay"
    /// The client is unknown, its secret wrong, or the provider has turned it off.
    case refusedClient = "refused_client"
    /// Too early, or too often: nothing was spent.
    case limited
    /// The request was not well-formed.
    case malformed
    /// A revocation, also of what was dead already.
    case revoked
    /// An API call with a good credential.
    case served
    /// A fault answered in its place; nothing was done.
    case untouched = "not_processed"
}

/// How a request ended on the wire.
package enum Delivery: String, Sendable, Hashable, CaseIterable, Codable {
    /// Still being worked on.
    case open
    /// The provider's own answer was sent whole.
    case answered
    /// A fault's answer was sent instead.
    case replaced
    /// The connection was closed before a whole answer.
    case lost
}
