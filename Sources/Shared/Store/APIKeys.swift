import Credentials
import Foundation
import Postgres
import Vault

/// What an API key may do. The front decides call by call: `Permission` there.
package enum APIKeyRole: String, Sendable, Hashable, CaseIterable, Codable {
    /// Everything in its environment.
    case full
    /// Mints and finishes connect sessions, reads connections.
    case connect
    /// Reads; no passthrough, since that is use of a credential.
    case read
    /// Enqueues and reads jobs.
    case enqueue
    /// Runs the installation: jobs, queues, integrations, environments; no sessions, no passthrough.
    case operate
}

/// An API key as it may be shown: never the key itself.
package struct APIKeyRecord: Sendable, Hashable {
    package let id: Int64
    /// `key_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    package let name: String
    package let role: APIKeyRole
    /// `eg_test_` or `eg_live_`, and the first characters after it.
    package let prefix: String
    package let lastFour: String
    package let createdAt: Date
    package let expiresAt: Date?
    package let revokedAt: Date?
}

/// A fresh key: the only moment its text exists outside the caller's hands.
package struct APIKeyDraft: Sendable {
    /// `eg_<mode>_<43 characters of base64url>`: 256 random bits.
    package let text: Secret
    let prefix: String
    let lastFour: String

    package init(mode: Mode) {
        let token = SecureRandom.token()
        text = Secret("eg_\(mode.rawValue)_\(token)")
        prefix = "eg_\(mode.rawValue)_\(token.prefix(4))"
        lastFour = String(token.suffix(4))
    }
}

/// A key that was presented and found good.
package struct AuthenticatedKey: Sendable, Hashable {
    package let uid: String
    package let role: APIKeyRole
    package let environment: EnvironmentReference
}

/// What a call needs to know of its environment.
package struct EnvironmentReference: Sendable, Hashable {
    package let id: Int64
    package let name: String
    package let mode: Mode

    package init(id: Int64, name: String, mode: Mode) {
        self.id = id
        self.name = name
        self.mode = mode
    }
}

/// The rows of `evergrant.api_keys`. Keys are stored as SHA-256 of the whole text.
package enum APIKeys {
    /// The key with this SHA-256, when it is neither expired nor revoked by the database's clock. Unique index on hash.
    package static func authenticate(hash: [UInt8], in db: any PostgresQuerying) async throws -> AuthenticatedKey? {
        guard let row = try await db.execute(Statements.authenticate, [.bytea(hash)]).first else { return nil }
        let (uid, role, id, name, mode) = try row.decode(
            String.self, String.self, Int64.self, String.self, String.self)
        return AuthenticatedKey(
            uid: uid, role: try APIKeyRole(stored: role),
            environment: EnvironmentReference(id: id, name: name, mode: try Mode(stored: mode)))
    }

    /// Keys of an environment, newest first, expired and revoked ones too.
    package static func list(environmentID: Int64, in db: any PostgresQuerying) async throws -> [APIKeyRecord] {
        try await db.execute(Statements.list, [.int8(environmentID)]).map(APIKeyRecord.init)
    }

    package static func insert(
        _ draft: APIKeyDraft, environmentID: Int64, name: String, role: APIKeyRole, expiresAt: Date?,
        in db: any PostgresQuerying
    ) async throws -> APIKeyRecord {
        let rows = try await db.execute(
            Statements.insert,
            [
                .int8(environmentID), .text(name), .text(role.rawValue), .bytea(Digest.sha256(draft.text)),
                .text(draft.prefix), .text(draft.lastFour), .optional(expiresAt) { .timestamptz($0) },
            ])
        guard let row = rows.first else { throw MissingRow(statement: Statements.insert.name) }
        return try APIKeyRecord(row)
    }

    /// Ends a key after `delay` (zero: now), unless it ends earlier anyhow.
    package static func expire(
        uid: String, environmentID: Int64, after delay: Duration, in db: any PostgresQuerying
    ) async throws -> APIKeyRecord? {
        try await db.execute(
            Statements.expire, [.text(uid), .int8(environmentID), .float8(delay.fractionalSeconds)]
        ).first.map(APIKeyRecord.init)
    }

    private enum Statements {
        static let columns = """
            id, uid, environment_id, name, role, prefix, last_four, created_at, expires_at, revoked_at
            """
        static let authenticate = PostgresStatement(
            "authenticate API key",
            """
            select k.uid, k.role, e.id, e.name, e.mode
            from evergrant.api_keys k join evergrant.environments e on e.id = k.environment_id
            where k.hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
            """)
        static let list = PostgresStatement(
            "list API keys",
            "select \(columns) from evergrant.api_keys where environment_id = $1 order by id desc limit 500")
        static let insert = PostgresStatement(
            "insert API key",
            """
            insert into evergrant.api_keys (environment_id, name, role, hash, prefix, last_four, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7) returning \(columns)
            """)
        static let expire = PostgresStatement(
            "expire API key",
            """
            update evergrant.api_keys
            set expires_at = least(coalesce(expires_at, 'infinity'), now() + make_interval(secs => $3)),
                revoked_at = case when $3 <= 0 then coalesce(revoked_at, now()) else revoked_at end
            where uid = $1 and environment_id = $2 returning \(columns)
            """)
    }
}

extension APIKeyRole {
    fileprivate init(stored text: String) throws(InvalidValue) {
        guard let role = APIKeyRole(rawValue: text) else {
            throw InvalidValue(
                item: "stored API key role", problem: "is \"\(text)\"",
                repair: "run `evergrant migrate` of this version")
        }
        self = role
    }
}

extension APIKeyRecord {
    fileprivate init(_ row: PostgresRow) throws {
        let role: String
        (id, uid, environmentID, name, role, prefix, lastFour, createdAt, expiresAt, revokedAt) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, String.self, String.self, Date.self,
            Date?.self, Date?.self)
        self.role = try APIKeyRole(stored: role)
    }
}

extension Duration {
    fileprivate var fractionalSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
