import Foundation
import Postgres
import Vault

/// One sealed value where it stands, to be sealed anew.
package struct SealedPlace: Sendable {
    /// Which column of which row.
    package enum Column: Sendable, Hashable {
        case credential(connection: Int64, generation: Int64)
        /// The token set before the present one.
        case previous(connection: Int64, generation: Int64)
        case alternate(id: Int64)
        case clientSecret(app: Int64, version: Int64)
        case webhookSecret(endpoint: Int64, version: Int64)
        /// Still signs for a while after a rotation.
        case previousWebhookSecret(endpoint: Int64, version: Int64)
    }

    package let column: Column
    package let context: SealContext
    package let sealed: [UInt8]
    /// When a provider issued it; nil for what providers do not.
    package let issuedAt: Date?
}

/// Sealed values by what they hang on, for a rewrap.
package enum SealedPlaces {
    /// Every sealed value of a connection: present and previous token set, alternates.
    package static func ofConnection(id: Int64, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> [SealedPlace]
    {
        try await db.execute(connectionStatement, [.int8(id), .int8(environmentID)]).map { row in
            let (what, uid, generation, rowID, nonce, sealed, issuedAt) = try row.decode(
                String.self, UUID.self, Int64.self, Int64.self, UUID?.self, [UInt8].self, Date?.self)
            let context: SealContext
            let column: SealedPlace.Column
            if let nonce {
                context = .alternateTokens(environmentID: environmentID, uid: uid, nonce: nonce)
                column = .alternate(id: rowID)
            } else {
                context = .connectionTokens(environmentID: environmentID, uid: uid, generation: generation)
                column =
                    what == "previous"
                    ? .previous(connection: rowID, generation: generation)
                    : .credential(connection: rowID, generation: generation)
            }
            return SealedPlace(column: column, context: context, sealed: sealed, issuedAt: issuedAt)
        }
    }

    /// An OAuth app's client secret; none when it has none.
    package static func ofOAuthApp(id: Int64, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> [SealedPlace]
    {
        try await db.execute(appStatement, [.int8(id), .int8(environmentID)]).map { row in
            let (uid, version, sealed) = try row.decode(String.self, Int64.self, [UInt8].self)
            return SealedPlace(
                column: .clientSecret(app: id, version: version),
                context: .clientSecret(environmentID: environmentID, appUID: uid, version: version), sealed: sealed,
                issuedAt: nil)
        }
    }

    /// A webhook endpoint's secret, and the one before it while that still signs.
    package static func ofWebhookEndpoint(id: Int64, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> [SealedPlace]
    {
        try await db.execute(endpointStatement, [.int8(id), .int8(environmentID)]).map { row in
            let (uid, version, isPrevious, sealed) = try row.decode(
                String.self, Int64.self, Bool.self, [UInt8].self)
            return SealedPlace(
                column: isPrevious
                    ? .previousWebhookSecret(endpoint: id, version: version)
                    : .webhookSecret(endpoint: id, version: version),
                context: .webhookSecret(environmentID: environmentID, endpointUID: uid, version: version),
                sealed: sealed, issuedAt: nil)
        }
    }

    /// Puts `anew` in the place of what was read: only while the place has the same generation (or version) and the same
    /// data key, else it would write an old token back over a fresh one.
    /// - Parameter dataKeyID: of what was read.
    /// - Returns: false when it has moved on.
    package static func replace(
        _ place: SealedPlace, with anew: [UInt8], dataKeyID: UUID, in db: any PostgresQuerying
    ) async throws -> Bool {
        let key = PostgresParameter.bytea(withUnsafeBytes(of: dataKeyID.uuid) { Array($0) })
        let (statement, parameters): (PostgresStatement, [PostgresParameter]) =
            switch place.column {
            case .credential(let id, let generation): (replaceCredential, [.int8(id), .int8(generation)])
            case .previous(let id, let generation): (replacePrevious, [.int8(id), .int8(generation)])
            case .alternate(let id): (replaceAlternate, [.int8(id), .int8(0)])
            case .clientSecret(let id, let version): (replaceClientSecret, [.int8(id), .int8(version)])
            case .webhookSecret(let id, let version): (replaceWebhookSecret, [.int8(id), .int8(version)])
            case .previousWebhookSecret(let id, let version):
                (replacePreviousWebhookSecret, [.int8(id), .int8(version)])
            }
        return try await db.execute(statement, parameters + [key, .bytea(anew)]).first != nil
    }

    /// Index: primary keys, alternates_of_connection.
    private static let connectionStatement = PostgresStatement(
        "list_sealed_of_connection",
        """
        select 'present', c.uid, k.generation, c.id, null::uuid, k.sealed, k.issued_at
        from evergrant.connections c join evergrant.credentials k on k.connection_id = c.id
        where c.id = $1 and c.environment_id = $2
        union all
        select 'previous', c.uid, k.previous_generation, c.id, null::uuid, k.previous_sealed, k.previous_issued_at
        from evergrant.connections c join evergrant.credentials k on k.connection_id = c.id
        where c.id = $1 and c.environment_id = $2 and k.previous_sealed is not null
        union all
        select 'alternate', c.uid, 0, a.id, a.nonce, a.sealed, a.issued_at
        from evergrant.connections c join evergrant.alternates a on a.connection_id = c.id
        where c.id = $1 and c.environment_id = $2
        """)

    private static let appStatement = PostgresStatement(
        "list_sealed_of_app",
        """
        select uid, secret_version, client_secret from evergrant.oauth_apps
        where id = $1 and environment_id = $2 and client_secret is not null
        """)

    private static let endpointStatement = PostgresStatement(
        "list_sealed_of_endpoint",
        """
        select uid, secret_version, false, secret from evergrant.webhook_endpoints
        where id = $1 and environment_id = $2
        union all
        select uid, secret_version - 1, true, previous_secret from evergrant.webhook_endpoints
        where id = $1 and environment_id = $2 and previous_secret is not null
        """)

    // Bytes 2 to 17 of a sealed value are its data key's id (`docs/vault-format.md`).

    private static let replaceCredential = PostgresStatement(
        "reseal_credential",
        """
        update evergrant.credentials set sealed = $4
        where connection_id = $1 and generation = $2 and substr(sealed, 2, 16) = $3 returning connection_id
        """)

    private static let replacePrevious = PostgresStatement(
        "reseal_previous_credential",
        """
        update evergrant.credentials set previous_sealed = $4
        where connection_id = $1 and previous_generation = $2 and substr(previous_sealed, 2, 16) = $3
        returning connection_id
        """)

    private static let replaceAlternate = PostgresStatement(
        "reseal_alternate",
        """
        update evergrant.alternates set sealed = $4 where id = $1 and $2::bigint = 0 and substr(sealed, 2, 16) = $3
        returning id
        """)

    private static let replaceClientSecret = PostgresStatement(
        "reseal_client_secret",
        """
        update evergrant.oauth_apps set client_secret = $4
        where id = $1 and secret_version = $2 and substr(client_secret, 2, 16) = $3 returning id
        """)

    private static let replaceWebhookSecret = PostgresStatement(
        "reseal_webhook_secret",
        """
        update evergrant.webhook_endpoints set secret = $4
        where id = $1 and secret_version = $2 and substr(secret, 2, 16) = $3 returning id
        """)

    private static let replacePreviousWebhookSecret = PostgresStatement(
        "reseal_previous_webhook_secret",
        """
        update evergrant.webhook_endpoints set previous_secret = $4
        where id = $1 and secret_version - 1 = $2 and substr(previous_secret, 2, 16) = $3 returning id
        """)
}
