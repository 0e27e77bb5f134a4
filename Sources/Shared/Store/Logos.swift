import Postgres

/// A raster image that the operator supplied.
package struct LogoRecord: Sendable {
    /// Empty: the app's own.
    package let integration: String
    package let mediaType: String
    package let digest: [UInt8]
    package let bytes: [UInt8]

    package init(integration: String, mediaType: String, digest: [UInt8], bytes: [UInt8]) {
        self.integration = integration
        self.mediaType = mediaType
        self.digest = digest
        self.bytes = bytes
    }
}

/// The rows of `evergrant.logos`.
package enum Logos {
    /// Digests of an environment's images by integration; the app's own under "".
    package static func digests(environmentID: Int64, in db: any PostgresQuerying) async throws -> [String: [UInt8]] {
        let rows = try await db.execute(Statements.digests, [.int8(environmentID)])
        return try rows.reduce(into: [:]) { found, row in
            let (integration, digest) = try row.decode(String.self, [UInt8].self)
            found[integration] = digest
        }
    }

    package static func find(
        environmentID: Int64, integration: String, in db: any PostgresQuerying
    ) async throws -> LogoRecord? {
        guard let row = try await db.execute(Statements.find, [.int8(environmentID), .text(integration)]).first else {
            return nil
        }
        let (name, type, digest, bytes) = try row.decode(String.self, String.self, [UInt8].self, [UInt8].self)
        return LogoRecord(integration: name, mediaType: type, digest: digest, bytes: bytes)
    }

    package static func put(
        environmentID: Int64, _ logo: LogoRecord, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            Statements.put,
            [
                .int8(environmentID), .text(logo.integration), .text(logo.mediaType), .bytea(logo.digest),
                .bytea(logo.bytes),
            ])
    }

    /// - Returns: whether there was one.
    package static func delete(
        environmentID: Int64, integration: String, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(Statements.delete, [.int8(environmentID), .text(integration)]).affected == 1
    }

    private enum Statements {
        static let digests = PostgresStatement(
            "list logos", "select integration, digest from evergrant.logos where environment_id = $1")
        static let find = PostgresStatement(
            "find logo",
            """
            select integration, media_type, digest, bytes from evergrant.logos
            where environment_id = $1 and integration = $2
            """)
        static let put = PostgresStatement(
            "put logo",
            """
            insert into evergrant.logos (environment_id, integration, media_type, digest, bytes)
            values ($1, $2, $3, $4, $5)
            on conflict (environment_id, integration) do update set media_type = excluded.media_type,
                digest = excluded.digest, bytes = excluded.bytes, updated_at = now()
            """)
        static let delete = PostgresStatement(
            "delete logo", "delete from evergrant.logos where environment_id = $1 and integration = $2")
    }
}
