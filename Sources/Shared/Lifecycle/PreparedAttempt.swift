import Catalog
import Credentials
import Foundation
import OAuth
import Store

/// Which token an attempt presents.
enum TokenSource: Sendable, Equatable {
    case current, previous
    /// The answer of the attempt with this nonce.
    case alternate(UUID)
}

/// A marked connection with everything opened and looked up.
struct PreparedAttempt: Sendable {
    let marked: MarkedAttempt
    let integration: Integration
    let provider: Provider
    let appAtMark: AppAtMark
    let app: OAuthApp
    let tokens: TokenSet
    let rule: ReplayRule
    /// Where it sends, as trouble is counted by.
    let endpoint: TokenEndpoint
    /// One of the few that find out whether a trouble of the provider is over.
    var isTrial = false

    /// Whether a trouble is this connection's own: it was in trouble before, and others are served. Only such a one is
    /// counted, and paces the connection's backoff; the provider's paces itself.
    func isItsOwn(_ heard: Heard) -> Bool { marked.state != .active && (heard.othersWereServed || isTrial) }
}
