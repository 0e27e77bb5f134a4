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
}
