import Foundation
import Postgres
import Vault

/// The operator's client at a provider, as stored; the secret sealed.
package struct OAuthAppRecord: Sendable, Hashable {
    package let id: Int64
    /// `app_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    package let provider: String
    package let clientID: String
    /// Sealed at `SealContext.clientSecret(environmentID:appUID:version:)`; nil: a public client.
    package let clientSecret: [UInt8]?
    package let secretVersion: Int64
    /// The secret beside it, while one replaces the other.
    package let other: OtherClientSecret?
    /// The version that the provider took when it refused the other; nil: that never happened.
    package let workingVersion: Int64?
    /// Versions are never used twice.
    package let newestVersion: Int64
    /// Pinned URL parameters (`operator_host`) and overrides of replay facts (`replay_class`, `replay_harm`).
    package let parameters: [String: String]
    /// Set while the provider refuses the app itself.
    package let suspendedAt: Date?
    package let suspendedReason: String?
    package let createdAt: Date
    package let updatedAt: Date
}

/// The rows of `evergrant.oauth_apps`. One row a client id: integrations of one provider may share it, so that a new
/// secret reaches all of them.
package enum OAuthApps {
    package static func find(id: Int64, in db: any PostgresQuerying) async throws -> OAuthAppRecord? {
        try await db.execute(Statements.find, [.int8(id)]).first.map(OAuthAppRecord.init)
    }

    /// The app of this client id, locked, so that two changes of its secret follow each other.
    package static func lock(
        environmentID: Int64, provider: String, clientID: String, in transaction: any PostgresQuerying
    ) async throws -> OAuthAppRecord? {
        try await transaction.execute(Statements.lock, [.int8(environmentID), .text(provider), .text(clientID)])
            .first.map(OAuthAppRecord.init)
    }

    package static func list(environmentID: Int64, in db: any PostgresQuerying) async throws -> [OAuthAppRecord] {
        try await db.execute(Statements.list, [.int8(environmentID)]).map(OAuthAppRecord.init)
    }

    /// Adds an app.
    /// - Parameter uid: drawn by the caller, since sealing needs it: `app_<32 hex>`.
    /// - Parameter sealedSecret: sealed for version 1.
    package static func insert(
        uid: String, environmentID: Int64, provider: String, clientID: String, sealedSecret: [UInt8]?,
        parameters: [String: String], in db: any PostgresQuerying
    ) async throws -> OAuthAppRecord {
        let rows = try await db.execute(
            Statements.insert,
            [
                .text(uid), .int8(environmentID), .text(provider), .text(clientID),
                .optional(sealedSecret) { .bytea($0) }, try .json(parameters),
            ])
        guard let row = rows.first else { throw MissingRow(statement: Statements.insert.name) }
        return try OAuthAppRecord(row)
    }

    /// Replaces the secret at once, and drops the one beside it, when the newest version is still the one before
    /// `version`. A suspension stays until a probe with the new secret has found it good, which is within a second or so.
    /// ``setNext(id:sealedSecret:version:in:)`` replaces it without a moment in which the provider knows neither.
    /// - Returns: nil when another change came first.
    package static func replaceSecret(
        id: Int64, sealedSecret: [UInt8], version: Int64, in db: any PostgresQuerying
    ) async throws -> OAuthAppRecord? {
        try await db.execute(Statements.replaceSecret, [.int8(id), .bytea(sealedSecret), .int8(version)])
            .first.map(OAuthAppRecord.init)
    }

    package static func setParameters(
        id: Int64, _ parameters: [String: String], in db: any PostgresQuerying
    ) async throws -> OAuthAppRecord? {
        try await db.execute(Statements.setParameters, [.int8(id), try .json(parameters)])
            .first.map(OAuthAppRecord.init)
    }

    /// Names the app whose client asked for a connection's newest grant: the environment's app may be another than the
    /// one of the grant before.
    package static func adopt(connectionID: Int64, app: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(Statements.adopt, [.int8(connectionID), .int8(app)])
    }

    enum Statements {
        static let columns = """
            id, uid, environment_id, provider, client_id, client_secret, secret_version, parameters, suspended_at,
            suspended_reason, created_at, updated_at, other_secret, other_version, other_role, working_version,
            newest_version
            """
        static let find = PostgresStatement(
            "find OAuth app", "select \(columns) from evergrant.oauth_apps where id = $1")
        // Index oauth_apps_of_environment.
        static let lock = PostgresStatement(
            "lock OAuth app",
            """
            select \(columns) from evergrant.oauth_apps where environment_id = $1 and provider = $2 and client_id = $3
            order by id limit 1 for update
            """)
        static let list = PostgresStatement(
            "list OAuth apps",
            "select \(columns) from evergrant.oauth_apps where environment_id = $1 order by provider, id")
        static let insert = PostgresStatement(
            "insert OAuth app",
            """
            insert into evergrant.oauth_apps (uid, environment_id, provider, client_id, client_secret, parameters)
            values ($1, $2, $3, $4, $5, $6) returning \(columns)
            """)
        static let replaceSecret = PostgresStatement(
            "replace client secret",
            """
            update evergrant.oauth_apps set client_secret = $2, secret_version = $3, newest_version = $3,
                other_secret = null, other_version = null, other_role = null, working_version = null,
                probe_due_at = case when suspended_at is not null then now() end, updated_at = now()
            where id = $1 and newest_version = $3 - 1 returning \(columns)
            """)
        static let adopt = PostgresStatement(
            "adopt connection",
            "update evergrant.connections set oauth_app_id = $2 where id = $1 and oauth_app_id is distinct from $2")
        static let setParameters = PostgresStatement(
            "set OAuth app parameters",
            "update evergrant.oauth_apps set parameters = $2, updated_at = now() where id = $1 returning \(columns)")
    }
}

extension OAuthAppRecord {
    init(_ row: PostgresRow) throws {
        let json: [UInt8]
        let (otherSecret, otherVersion, otherRole): ([UInt8]?, Int64?, String?)
        (
            id, uid, environmentID, provider, clientID, clientSecret, secretVersion, json, suspendedAt, suspendedReason,
            createdAt, updatedAt
        ) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, [UInt8]?.self, Int64.self, [UInt8].self,
            Date?.self, String?.self, Date.self, Date.self)
        (otherSecret, otherVersion, otherRole, workingVersion, newestVersion) = try row.decode(
            from: 12, [UInt8]?.self, Int64?.self, String?.self, Int64?.self, Int64.self)
        other = OtherClientSecret(sealed: otherSecret, version: otherVersion, role: otherRole)
        parameters = try JSONDecoder().decode([String: String].self, from: Data(json))
    }
}
