import Foundation
import Postgres
import Vault

/// Where an environment's events are sent.
package struct WebhookEndpointRecord: Sendable, Hashable {
    package let id: Int64
    /// `ep_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    /// Unique in the environment; the app chooses it.
    package let name: String
    package let url: String
    /// Types it gets; nil: ``Events/told``. `*` means all of connections.
    package let types: [String]?
    package let secretVersion: Int64
    /// Until when the secret before this one signs too; nil when there is none or its time is over.
    package let previousUntil: Date?
    package let disabledAt: Date?
    package let disabledReason: String?
    /// Set while the last delivery that ended was given up.
    package let failingSince: Date?
    package let createdAt: Date
    package let updatedAt: Date
}

/// Rows of `evergrant.webhook_endpoints`.
package enum WebhookEndpoints {
    /// A new uid, drawn by the caller because sealing the secret needs it.
    package static func newUID() -> String { "ep_" + SecureRandom.hex() }

    package static func find(
        name: String, environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> WebhookEndpointRecord? {
        try await db.execute(findStatement, [.text(name), .int8(environmentID)]).first.map(WebhookEndpointRecord.init)
    }

    /// The same, held `FOR UPDATE` until the transaction ends.
    package static func lock(
        name: String, environmentID: Int64, in transaction: any PostgresQuerying
    ) async throws -> WebhookEndpointRecord? {
        try await transaction.execute(lockStatement, [.text(name), .int8(environmentID)]).first
            .map(WebhookEndpointRecord.init)
    }

    package static func list(
        environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> [WebhookEndpointRecord] {
        try await db.execute(listStatement, [.int8(environmentID)]).map(WebhookEndpointRecord.init)
    }

    /// Inserts an endpoint; nil when another of that name is there.
    /// - Parameter sealedSecret: sealed for ``SealContext/webhookSecret(environmentID:endpointUID:version:)``, version 1.
    package static func insert(
        uid: String, environmentID: Int64, name: String, url: String, types: [String]?, sealedSecret: [UInt8],
        in db: any PostgresQuerying
    ) async throws -> WebhookEndpointRecord? {
        try await db.execute(
            insertStatement,
            [
                .text(uid), .int8(environmentID), .text(name), .text(url), .optional(types) { .textArray($0) },
                .bytea(sealedSecret),
            ]
        ).first.map(WebhookEndpointRecord.init)
    }

    /// Sets URL and types, and enables the endpoint again if it was disabled.
    package static func update(
        id: Int64, url: String, types: [String]?, in db: any PostgresQuerying
    ) async throws -> WebhookEndpointRecord? {
        try await db.execute(updateStatement, [.int8(id), .text(url), .optional(types) { .textArray($0) }]).first
            .map(WebhookEndpointRecord.init)
    }

    /// Puts a new secret beside the present one, which signs on for `overlap`. Nil when `version` is not the next.
    /// - Parameter sealedSecret: sealed for `version`.
    package static func rotateSecret(
        id: Int64, sealedSecret: [UInt8], version: Int64, overlap: Duration, in db: any PostgresQuerying
    ) async throws -> WebhookEndpointRecord? {
        try await db.execute(
            rotateStatement, [.int8(id), .bytea(sealedSecret), .int8(version), .interval(overlap)]
        ).first.map(WebhookEndpointRecord.init)
    }

    /// Stops deliveries to an endpoint, unless its URL was changed since `url` was called, and writes the event
    /// `webhook_endpoint.disabled`, which other endpoints and the feed tell.
    /// - Parameter url: the URL that was called; nil: whatever it is.
    package static func disable(
        id: Int64, url: String?, reason: String, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(disableStatement, [.int8(id), .optional(url) { .text($0) }, .text(reason)]).first != nil
    }

    /// Lets deliveries to a disabled endpoint go on; false when it was not disabled.
    package static func enable(id: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(enableStatement, [.int8(id)]).first != nil
    }

    /// Ends the time of the secret before the present one; false when it was over.
    package static func endRotation(id: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(endRotationStatement, [.int8(id)]).first != nil
    }

    /// Notes that a delivery was given up.
    package static func noteFailing(id: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(noteFailingStatement, [.int8(id)])
    }

    /// Clears that mark; false when it was not there.
    package static func noteWorking(id: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(noteWorkingStatement, [.int8(id)]).first != nil
    }

    /// Deletes the endpoint and its deliveries; the events stay in the feed.
    package static func delete(name: String, environmentID: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(deleteStatement, [.text(name), .int8(environmentID)]).first != nil
    }

    private static let columns = """
        id, uid, environment_id, name, url, types, secret_version,
        case when previous_until > now() then previous_until end, disabled_at, disabled_reason, failing_since,
        created_at, updated_at
        """

    /// Index: one_endpoint_a_name, for this and all that name one.
    private static let findStatement = PostgresStatement(
        "find_webhook_endpoint",
        "select \(columns) from evergrant.webhook_endpoints where name = $1 and environment_id = $2")

    private static let lockStatement = PostgresStatement(
        "lock_webhook_endpoint",
        "select \(columns) from evergrant.webhook_endpoints where name = $1 and environment_id = $2 for update")

    private static let listStatement = PostgresStatement(
        "list_webhook_endpoints",
        "select \(columns) from evergrant.webhook_endpoints where environment_id = $1 order by name")

    private static let insertStatement = PostgresStatement(
        "insert_webhook_endpoint",
        """
        insert into evergrant.webhook_endpoints (uid, environment_id, name, url, types, secret)
        values ($1, $2, $3, $4, $5, $6) on conflict (environment_id, name) do nothing returning \(columns)
        """)

    private static let updateStatement = PostgresStatement(
        "update_webhook_endpoint",
        """
        update evergrant.webhook_endpoints set url = $2, types = $3, disabled_at = null, disabled_reason = null,
            failing_since = null, updated_at = now()
        where id = $1 returning \(columns)
        """)

    private static let rotateStatement = PostgresStatement(
        "rotate_webhook_secret",
        """
        update evergrant.webhook_endpoints set previous_secret = secret, previous_until = now() + $4::interval,
            secret = $2, secret_version = $3, updated_at = now()
        where id = $1 and secret_version = $3 - 1 returning \(columns)
        """)

    private static let disableStatement = PostgresStatement(
        "disable_webhook_endpoint",
        """
        with disabled as (
            update evergrant.webhook_endpoints set disabled_at = now(), disabled_reason = $3, updated_at = now()
            where id = $1 and ($2::text is null or url = $2) and disabled_at is null
            returning id, environment_id, uid, name, disabled_reason, disabled_at)
        insert into evergrant.events (environment_id, type, payload)
        select environment_id, 'webhook_endpoint.disabled', jsonb_build_object('endpoint', jsonb_build_object(
            'id', uid, 'name', name, 'disabled_reason', disabled_reason,
            'disabled_at', evergrant.rfc3339(disabled_at)))
        from disabled returning id
        """)

    private static let enableStatement = PostgresStatement(
        "enable_webhook_endpoint",
        """
        update evergrant.webhook_endpoints set disabled_at = null, disabled_reason = null, failing_since = null,
            updated_at = now()
        where id = $1 and disabled_at is not null returning id
        """)

    private static let endRotationStatement = PostgresStatement(
        "end_webhook_rotation",
        """
        update evergrant.webhook_endpoints set previous_secret = null, previous_until = null, updated_at = now()
        where id = $1 and previous_until > now() returning id
        """)

    private static let noteFailingStatement = PostgresStatement(
        "note_failing_endpoint",
        "update evergrant.webhook_endpoints set failing_since = now() where id = $1 and failing_since is null")

    private static let noteWorkingStatement = PostgresStatement(
        "note_working_endpoint",
        """
        update evergrant.webhook_endpoints set failing_since = null where id = $1 and failing_since is not null
        returning id
        """)

    private static let deleteStatement = PostgresStatement(
        "delete_webhook_endpoint",
        "delete from evergrant.webhook_endpoints where name = $1 and environment_id = $2 returning id")
}

extension WebhookEndpointRecord {
    init(_ row: PostgresRow) throws {
        (
            id, uid, environmentID, name, url, types, secretVersion, previousUntil, disabledAt, disabledReason,
            failingSince, createdAt, updatedAt
        ) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, [String]?.self, Int64.self, Date?.self,
            Date?.self, String?.self, Date?.self, Date.self, Date.self)
    }
}
