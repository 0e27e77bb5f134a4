import Foundation
import Postgres

/// What an environment has decided about one integration of the catalog.
package struct IntegrationSettingsRecord: Sendable, Hashable {
    package let environmentID: Int64
    /// The catalog's id.
    package let integration: String
    package let isEnabled: Bool
    package let oauthAppID: Int64?
    /// nil: the catalog's.
    package let scopes: [String]?
    package let display: IntegrationDisplay
    package let updatedAt: Date
    /// Seconds between two probes of a connection; 0: none; nil: the catalog's, else the installation's.
    package let validateSeconds: Int64?
}

/// What the operator changed in how an integration is shown; nil: the catalog's.
package struct IntegrationDisplay: Sendable, Hashable, Codable {
    package var title: String?
    package var guide: String?

    package init(title: String? = nil, guide: String? = nil) {
        self.title = title
        self.guide = guide
    }
}

/// The rows of `evergrant.integrations`.
package enum IntegrationSettings {
    package static func list(
        environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> [IntegrationSettingsRecord] {
        try await db.execute(Statements.list, [.int8(environmentID)]).map(IntegrationSettingsRecord.init)
    }

    package static func find(
        environmentID: Int64, integration: String, in db: any PostgresQuerying
    ) async throws -> IntegrationSettingsRecord? {
        try await db.execute(Statements.find, [.int8(environmentID), .text(integration)])
            .first.map(IntegrationSettingsRecord.init)
    }

    /// Inserts or replaces the row as a whole.
    package static func put(
        environmentID: Int64, integration: String, isEnabled: Bool, oauthAppID: Int64?, scopes: [String]?,
        display: IntegrationDisplay, in db: any PostgresQuerying
    ) async throws -> IntegrationSettingsRecord {
        let rows = try await db.execute(
            Statements.put,
            [
                .int8(environmentID), .text(integration), .bool(isEnabled), .optional(oauthAppID) { .int8($0) },
                .optional(scopes) { .textArray($0) }, try .json(display),
            ])
        guard let row = rows.first else { throw MissingRow(statement: Statements.put.name) }
        return try IntegrationSettingsRecord(row)
    }

    private enum Statements {
        static let columns = """
            environment_id, integration, enabled, oauth_app_id, scopes, settings, updated_at, validate_seconds
            """
        static let list = PostgresStatement(
            "list integrations", "select \(columns) from evergrant.integrations where environment_id = $1")
        static let find = PostgresStatement(
            "find integration",
            "select \(columns) from evergrant.integrations where environment_id = $1 and integration = $2")
        static let put = PostgresStatement(
            "put integration",
            """
            insert into evergrant.integrations (environment_id, integration, enabled, oauth_app_id, scopes, settings)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (environment_id, integration) do update set enabled = excluded.enabled,
                oauth_app_id = excluded.oauth_app_id, scopes = excluded.scopes, settings = excluded.settings,
                updated_at = now()
            returning \(columns)
            """)
    }
}

extension IntegrationSettingsRecord {
    fileprivate init(_ row: PostgresRow) throws {
        let json: [UInt8]
        (environmentID, integration, isEnabled, oauthAppID, scopes, json, updatedAt, validateSeconds) = try row.decode(
            Int64.self, String.self, Bool.self, Int64?.self, [String]?.self, [UInt8].self, Date.self,
            Int64?.self)
        display = try JSONDecoder().decode(IntegrationDisplay.self, from: Data(json))
    }
}
