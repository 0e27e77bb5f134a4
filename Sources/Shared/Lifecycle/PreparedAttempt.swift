import Catalog
import Credentials
import Foundation
import OAuth
import Store

/// Which token an attempt presents.
enum TokenSource: Sendable {
    case current, alternate, previous
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

    /// What the journal keeps of an intent: which generation of which grant may have been presented.
    func intent() throws -> [UInt8] {
        Array(
            try JSONEncoder().encode([
                "connection": "\(marked.mark.connectionID)", "grant": marked.grantID.uuidString,
                "generation": "\(marked.generation)",
            ]))
    }
}
