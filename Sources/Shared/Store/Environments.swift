import Credentials
import Foundation
import Postgres

/// One environment: what an API key opens. Nothing crosses it.
package struct EnvironmentRecord: Sendable, Hashable {
    package let id: Int64
    /// `env_<32 hex>`.
    package let uid: String
    /// A slug, unique over the installation.
    package let name: String
    package let mode: Mode
    /// The app's name as users of the connect window read it; empty: the environment's name is shown.
    package let appName: String
    /// Origins that may embed the connect window.
    package let embeddingOrigins: [String]
    /// Origins that users may be sent back to.
    package let redirectOrigins: [String]
    /// Whether sessions need a finish unless they say otherwise; nil: links yes, embedded no.
    package let requireFinish: Bool?
    /// How the connect window looks.
    package let branding: Branding
    /// URLs that a window opened by a public AuthKit package may ask for its list; empty: no such window.
    package let tokenEndpoints: [String]
    package let createdAt: Date

    /// What the connect window calls the app.
    package var displayName: String { appName.isEmpty ? name : appName }
}

/// The rows of `evergrant.environments`.
package enum Environments {
    /// Every environment, or those of one mode, by name.
    package static func list(mode: Mode? = nil, in db: any PostgresQuerying) async throws -> [EnvironmentRecord] {
        try await db.execute(Statements.list, [.optional(mode) { .text($0.rawValue) }]).map(EnvironmentRecord.init)
    }

    package static func find(id: Int64, in db: any PostgresQuerying) async throws -> EnvironmentRecord? {
        try await db.execute(Statements.findByID, [.int8(id)]).first.map(EnvironmentRecord.init)
    }

    package static func find(name: String, in db: any PostgresQuerying) async throws -> EnvironmentRecord? {
        try await db.execute(Statements.findByName, [.text(name)]).first.map(EnvironmentRecord.init)
    }

    /// Adds an environment.
    /// - Returns: nil when the name is taken.
    package static func insert(
        name: String, mode: Mode, appName: String = "", redirectOrigins: [String] = [], requireFinish: Bool? = nil,
        in db: any PostgresQuerying
    ) async throws -> EnvironmentRecord? {
        try await db.execute(
            Statements.insert,
            [
                .text(name), .text(mode.rawValue), .text(appName), .textArray(redirectOrigins),
                .optional(requireFinish) { .bool($0) },
            ]
        ).first.map(EnvironmentRecord.init)
    }

    /// Changes what is not nil. `requireFinish`: outer nil leaves it, inner nil restores the default.
    package static func patch(
        id: Int64, appName: String?, embeddingOrigins: [String]?, redirectOrigins: [String]?,
        requireFinish: Bool??, branding: Branding? = nil, tokenEndpoints: [String]? = nil, in db: any PostgresQuerying
    ) async throws -> EnvironmentRecord? {
        try await db.execute(
            Statements.patch,
            [
                .int8(id), .optional(appName) { .text($0) }, .optional(embeddingOrigins) { .textArray($0) },
                .optional(redirectOrigins) { .textArray($0) }, .bool(requireFinish != nil),
                .optional(requireFinish ?? nil) { .bool($0) },
                try branding.map { try .json($0) } ?? .null, .optional(tokenEndpoints) { .textArray($0) },
            ]
        ).first.map(EnvironmentRecord.init)
    }

    /// By its uid or its name, as a window's address has it.
    package static func find(reference: String, in db: any PostgresQuerying) async throws -> EnvironmentRecord? {
        try await db.execute(Statements.findByReference, [.text(reference)]).first.map(EnvironmentRecord.init)
    }

    private enum Statements {
        static let columns = """
            id, uid, name, mode, app_name, embedding_origins, redirect_origins, require_finish, branding,
            token_endpoints, created_at
            """
        static let list = PostgresStatement(
            "list environments",
            "select \(columns) from evergrant.environments where $1::text is null or mode = $1 order by name")
        static let findByID = PostgresStatement(
            "find environment", "select \(columns) from evergrant.environments where id = $1")
        static let findByName = PostgresStatement(
            "find environment by name", "select \(columns) from evergrant.environments where name = $1")
        // Unique indexes on both; a name has no underscore.
        static let findByReference = PostgresStatement(
            "find environment by reference",
            "select \(columns) from evergrant.environments where uid = $1 or name = $1")
        static let insert = PostgresStatement(
            "insert environment",
            """
            insert into evergrant.environments (name, mode, app_name, redirect_origins, require_finish)
            values ($1, $2, $3, $4, $5) on conflict (name) do nothing returning \(columns)
            """)
        static let patch = PostgresStatement(
            "patch environment",
            """
            update evergrant.environments set app_name = coalesce($2, app_name),
                embedding_origins = coalesce($3, embedding_origins), redirect_origins = coalesce($4, redirect_origins),
                require_finish = case when $5::bool then $6 else require_finish end,
                branding = coalesce($7, branding), token_endpoints = coalesce($8, token_endpoints)
            where id = $1 returning \(columns)
            """)
    }
}

extension EnvironmentRecord {
    fileprivate init(_ row: PostgresRow) throws {
        let mode: String
        let json: [UInt8]
        (
            id, uid, name, mode, appName, embeddingOrigins, redirectOrigins, requireFinish, json, tokenEndpoints,
            createdAt
        ) = try row.decode(
            Int64.self, String.self, String.self, String.self, String.self, [String].self, [String].self, Bool?.self,
            [UInt8].self, [String].self, Date.self)
        branding = try JSONDecoder().decode(Branding.self, from: Data(json))
        self.mode = try Mode(stored: mode)
    }
}

extension Mode {
    /// - Throws: ``InvalidValue`` for a word the table's constraint does not allow.
    package init(stored text: String) throws(InvalidValue) {
        guard let mode = Mode(rawValue: text) else {
            throw InvalidValue(
                item: "stored mode", problem: "is \"\(text)\"", repair: "run `evergrant migrate` of this version")
        }
        self = mode
    }
}
