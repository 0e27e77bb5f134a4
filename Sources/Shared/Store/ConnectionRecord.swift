import Credentials
import Foundation
import Postgres

/// One row of `evergrant.connections`, without its secrets.
package struct ConnectionRecord: Sendable {
    package let id: Int64
    package let uid: UUID
    package let environmentID: Int64
    package let mode: Mode
    package let integration: String
    package let provider: String
    package let oauthAppID: Int64?
    package let identity: Identity
    package let name: String
    package let tags: [String]
    package let parameters: [String: String]
    package let accountID: String?
    package let accountLabel: String?
    package let state: ConnectionState
    package let reason: ConnectionReason?
    package let since: Date
    package let version: Int64
    package let grantID: UUID
    package let generation: Int64
    package let ambiguousGeneration: Int64?
    package let ambiguousSince: Date?
    package let attemptNonce: UUID?
    package let failures: Int
    package let nextAttemptAt: Date?
    package let accessIssuedAt: Date?
    package let accessExpiresAt: Date?
    package let refreshDueAt: Date?
    package let endsAt: Date?
    package let grantedScopes: [String]?
    /// The connection as the API and the events show it: JSON text, made by `evergrant.connection_document`.
    package let document: [UInt8]

    package var key: ConnectionKey {
        ConnectionKey(mode: mode, integration: integration, token: uid.hex, identity: identity.value)
    }

    /// `conn_` and 32 hexadecimal digits.
    package var publicID: String { "conn_\(uid.hex)" }

    /// The uid behind a public id; nil when `publicID` is not of that form.
    package static func uid(publicID: String) -> UUID? {
        guard publicID.hasPrefix("conn_") else { return nil }
        return UUID(hex: String(publicID.dropFirst(5)))
    }

    /// The columns that ``init(_:)`` reads, of a row named `c`, in its order.
    package static let columns = leanColumns.replacing("'{}'::jsonb", with: "evergrant.connection_document(c)")

    /// The same with an empty document, which costs nothing to make: for the passthrough.
    static let leanColumns = """
        c.id, c.uid, c.environment_id, c.mode, c.integration, c.provider, c.oauth_app_id, c.identity_type, c.identity, \
        c.name, c.tags, c.parameters, c.account_id, c.account_label, c.state, c.reason, c.since, c.version, \
        c.grant_id, c.generation, c.ambiguous_generation, c.ambiguous_since, c.attempt_nonce, c.failures, \
        c.next_attempt_at, c.access_issued_at, c.access_expires_at, c.refresh_due_at, c.ends_at, c.granted_scopes, \
        '{}'::jsonb
        """

    package init(_ row: PostgresRow) throws {
        let (id, uid, environmentID, mode, integration, provider, oauthAppID) = try row.decode(
            Int64.self, UUID.self, Int64.self, String.self, String.self, String.self, Int64?.self)
        let rest = try row.decode(
            from: 7, String.self, String.self, String.self, [String].self, [UInt8].self, String?.self, String?.self)
        let standing = try row.decode(
            from: 14, String.self, String?.self, Date.self, Int64.self, UUID.self, Int64.self, Int64?.self, Date?.self)
        let times = try row.decode(
            from: 22, UUID?.self, Int32.self, Date?.self, Date?.self, Date?.self, Date?.self, Date?.self,
            [String]?.self, [UInt8].self)
        self.id = id
        self.uid = uid
        self.environmentID = environmentID
        self.mode = try Self.known(mode, "mode")
        self.integration = integration
        self.provider = provider
        self.oauthAppID = oauthAppID
        self.identity = try Identity(type: IdentityType(parsing: rest.0), value: rest.1)
        name = rest.2
        tags = rest.3
        parameters = try JSONDecoder().decode([String: String].self, from: Data(rest.4))
        accountID = rest.5
        accountLabel = rest.6
        state = try Self.known(standing.0, "state")
        reason = try standing.1.map { try Self.known($0, "reason") }
        since = standing.2
        version = standing.3
        grantID = standing.4
        generation = standing.5
        ambiguousGeneration = standing.6
        ambiguousSince = standing.7
        attemptNonce = times.0
        failures = Int(times.1)
        nextAttemptAt = times.2
        accessIssuedAt = times.3
        accessExpiresAt = times.4
        refreshDueAt = times.5
        endsAt = times.6
        grantedScopes = times.7
        document = times.8
    }

    static func known<Value: RawRepresentable>(_ text: String, _ column: String) throws -> Value
    where Value.RawValue == String {
        guard let value = Value(rawValue: text) else {
            throw InvalidValue(
                item: "connections.\(column)", problem: "holds \"\(text)\", which this build does not know",
                repair: "run the newest version of evergrant on this database")
        }
        return value
    }
}
