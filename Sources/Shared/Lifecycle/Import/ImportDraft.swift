import Credentials
import Foundation
import Store

/// A row that is good: the connection it will be.
package struct ImportDraft: Sendable {
    package let line: Int
    package let uid: UUID
    package let externalID: String?
    /// Integration, identity and account, where the account is known: two such rows are one connection.
    package let accountKey: String?
    /// Of a refresh token that rotates: two rows with it would end each other's grant.
    package let rotatingToken: Secret?
    package let facts: ImportFacts
    package let tokens: TokenSet
}

/// What is kept of a row beside its secrets, until it is a connection. Stored as JSON: fields are added as optional.
package struct ImportFacts: Codable, Sendable, Hashable {
    package var integration: String
    package var provider: String
    package var app: Int64?
    package var identityType: String
    package var identity: String
    package var name: String
    package var tags: [String]
    /// JSON object.
    package var metadata: String
    package var parameters: [String: String]
    package var accountID: String?
    package var accountLabel: String?
    package var expiresAt: Date?
    package var refreshExpiresAt: Date?
    package var scopes: [String]?
    package var hasRefreshToken: Bool
    package var hasAccessToken: Bool
}

/// What the operator wants of an import.
package struct ImportOptions: Codable, Sendable, Hashable {
    /// When the rows are refreshed for the first time.
    package enum Refresh: String, Codable, Sendable, CaseIterable {
        /// Each once, paced: afterwards every grant is known to live, and belongs to Evergrant alone.
        case all
        /// As its expiry demands.
        case due
    }

    /// Checks everything and stores nothing.
    package var dryRun = false
    /// Imports the good rows although others are bad.
    package var skipBadRows = false
    package var refresh = Refresh.all
    /// First refreshes a second.
    package var rate = 50
    /// Probes each connection as well.
    package var verify = false

    package static let rates = 1...1000

    package init() {}
}
