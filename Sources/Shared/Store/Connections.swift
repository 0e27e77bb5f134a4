import Credentials
import Foundation
import Postgres

/// What a code exchange or an API-key form brings to a connection.
package struct NewGrant: Sendable {
    package var grantID: UUID
    /// 1 for a new connection, one more than the locked row's for a reconnect.
    package var generation: Int64
    package var schedule: GrantSchedule
    package var accountID: String?
    package var accountLabel: String?
    /// URL parameters as typed and checked; facts an answer named travel inside the sealed token set.
    package var parameters: [String: String]

    package init(
        grantID: UUID = UUID(), generation: Int64 = 1, schedule: GrantSchedule, accountID: String? = nil,
        accountLabel: String? = nil, parameters: [String: String] = [:]
    ) {
        self.grantID = grantID
        self.generation = generation
        self.schedule = schedule
        self.accountID = accountID
        self.accountLabel = accountLabel
        self.parameters = parameters
    }
}

/// A connection that does not exist yet. Its uid is drawn by the caller, because sealing needs it.
package struct NewConnection: Sendable {
    package var uid: UUID
    package var environmentID: Int64
    package var mode: Mode
    package var integration: String
    package var provider: String
    package var oauthAppID: Int64?
    package var identity: Identity
    package var name: String
    package var tags: [String]
    /// A JSON object.
    package var metadata: [UInt8]
    /// `pending` when the app must finish it, else `active`.
    package var state: ConnectionState
    package var grant: NewGrant

    package init(
        uid: UUID = UUID(), environmentID: Int64, mode: Mode, integration: String, provider: String,
        oauthAppID: Int64?, identity: Identity, name: String = "", tags: [String] = [],
        metadata: [UInt8] = Array("{}".utf8), state: ConnectionState = .active, grant: NewGrant
    ) {
        self.uid = uid
        self.environmentID = environmentID
        self.mode = mode
        self.integration = integration
        self.provider = provider
        self.oauthAppID = oauthAppID
        self.identity = identity
        self.name = name
        self.tags = tags
        self.metadata = metadata
        self.state = state
        self.grant = grant
    }
}

/// Which connections a list shows; every part that is set narrows it.
package struct ConnectionFilter: Sendable {
    package var environmentID: Int64
    package var identity: String?
    package var identityType: IdentityType?
    package var integration: String?
    package var state: ConnectionState?
    package var reason: ConnectionReason?
    package var tag: String?
    package var name: String?
    package var uid: UUID?
    /// The last id of the page before.
    package var after: Int64?
    /// At most 200.
    package var limit: Int

    package init(environmentID: Int64, limit: Int = 50) {
        self.environmentID = environmentID
        self.limit = limit
    }
}

/// One page of a list: rows in order of id, and how many there are in all, counted up to 10,000.
package struct ConnectionPage: Sendable {
    package let rows: [ConnectionRecord]
    package let total: Int
}

/// Rows of `evergrant.connections`. Every transition writes its event by the table's triggers.
package enum Connections {
    package static func find(id: Int64, in db: any PostgresQuerying) async throws -> ConnectionRecord? {
        try await db.execute(findByID, [.int8(id)]).first.map(ConnectionRecord.init)
    }

    package static func find(uid: UUID, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> ConnectionRecord?
    {
        try await db.execute(findByUID, [.uuid(uid), .int8(environmentID)]).first.map(ConnectionRecord.init)
    }

    /// The connection as ``find(uid:environmentID:in:)`` does, without its document, and its sealed token set: one
    /// round trip. No token set when its generation is not the row's (a refresh committed in between: ask again) or
    /// when it was destroyed.
    package static func findWithCredential(uid: UUID, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> (record: ConnectionRecord, sealed: [UInt8]?)?
    {
        guard let row = try await db.execute(findWithCredentialStatement, [.uuid(uid), .int8(environmentID)]).first
        else { return nil }
        return (try ConnectionRecord(row), try row["sealed", as: [UInt8]?.self])
    }

    package static func list(_ filter: ConnectionFilter, in db: any PostgresQuerying) async throws -> ConnectionPage {
        let narrowing: [PostgresParameter] = [
            .int8(filter.environmentID), .optional(filter.identity) { .text($0) },
            .optional(filter.identityType?.rawValue) { .text($0) }, .optional(filter.integration) { .text($0) },
            .optional(filter.state?.rawValue) { .text($0) }, .optional(filter.reason?.rawValue) { .text($0) },
            .optional(filter.tag) { .text($0) }, .optional(filter.name) { .text($0) },
            .optional(filter.uid) { .uuid($0) },
        ]
        let rows = try await db.execute(
            listPage, narrowing + [.int8(filter.after ?? 0), .int4(Int32(min(max(filter.limit, 1), 200)))])
        let counted = try await db.execute(countUpTo, narrowing + [.int4(10_000)])
        return ConnectionPage(
            rows: try rows.map(ConnectionRecord.init), total: try counted.first?.decode(Int.self) ?? 0)
    }

    /// Inserts the connection and its sealed token set. The event (`connection.created` or `.pending`) is written with
    /// it.
    /// - Parameter sealed: sealed for ``SealContext/connectionTokens(environmentID:uid:generation:)``.
    package static func insert(_ new: NewConnection, sealed: [UInt8], in db: any PostgresQuerying) async throws
        -> ConnectionRecord
    {
        let schedule = new.grant.schedule
        let rows = try await db.execute(
            insertConnection,
            [
                .uuid(new.uid), .int8(new.environmentID), .text(new.mode.rawValue), .text(new.integration),
                .text(new.provider), .optional(new.oauthAppID) { .int8($0) }, .text(new.identity.type.rawValue),
                .text(new.identity.value), .text(new.name), .textArray(new.tags), .jsonb(new.metadata),
                try .json(new.grant.parameters), .text(new.state.rawValue), .uuid(new.grant.grantID),
                .int8(new.grant.generation), .optional(new.grant.accountID) { .text($0) },
                .optional(new.grant.accountLabel) { .text($0) }, .timestamptz(schedule.accessIssuedAt),
                .optional(schedule.accessExpiresAt) { .timestamptz($0) },
                .optional(schedule.refreshDueAt) { .timestamptz($0) },
                .optional(schedule.validateDueAt) { .timestamptz($0) }, .optional(schedule.endsAt) { .timestamptz($0) },
                .optional(schedule.grantedScopes) { .textArray($0) }, .textArray(schedule.missingScopes),
                .bytea(sealed), .optional(schedule.lostAt) { .timestamptz($0) },
                .optional(schedule.warnDueAt) { .timestamptz($0) },
            ])
        return try await found(rows, "insert_connection", in: db)
    }

    /// Reconnects in place: same id, same key, a new grant, one generation on, and active again.
    /// The caller holds the row by ``lock(id:in:)`` and has sealed for `grant.generation`.
    package static func installGrant(
        _ grant: NewGrant, on connection: ConnectionRecord, sealed: [UInt8], in db: any PostgresQuerying
    ) async throws -> ConnectionRecord {
        let schedule = grant.schedule
        let rows = try await db.execute(
            installGrantStatement,
            [
                .int8(connection.id), .uuid(grant.grantID), .int8(grant.generation),
                .optional(grant.accountID) { .text($0) }, .optional(grant.accountLabel) { .text($0) },
                try .json(grant.parameters), .timestamptz(schedule.accessIssuedAt),
                .optional(schedule.accessExpiresAt) { .timestamptz($0) },
                .optional(schedule.refreshDueAt) { .timestamptz($0) },
                .optional(schedule.validateDueAt) { .timestamptz($0) }, .optional(schedule.endsAt) { .timestamptz($0) },
                .optional(schedule.grantedScopes) { .textArray($0) }, .textArray(schedule.missingScopes),
                .bytea(sealed), .optional(schedule.lostAt) { .timestamptz($0) },
                .optional(schedule.warnDueAt) { .timestamptz($0) },
            ])
        return try await found(rows, "install_grant", in: db)
    }

    /// Takes the row `FOR UPDATE`; it is held until the transaction ends.
    package static func lock(id: Int64, in transaction: any PostgresQuerying) async throws -> ConnectionRecord? {
        try await transaction.execute(lockByID, [.int8(id)]).first.map(ConnectionRecord.init)
    }

    /// Which of the connections have the grant but not yet the generation after the one that was presented.
    package static func behind(
        _ answers: [(connectionID: Int64, grantID: UUID, generation: Int64)], in db: any PostgresQuerying
    ) async throws -> Set<Int64> {
        let rows = try await db.execute(
            behindStatement,
            [
                .int8Array(answers.map(\.connectionID)), .uuidArray(answers.map(\.grantID)),
                .int8Array(answers.map(\.generation)),
            ])
        return Set(try rows.map { try $0.decode(Int64.self) })
    }

    /// The app's finish: `pending` becomes `active`. Nil when it was not pending.
    package static func confirm(id: Int64, in db: any PostgresQuerying) async throws -> ConnectionRecord? {
        guard try await db.execute(confirmStatement, [.int8(id)]).first != nil else { return nil }
        return try await find(id: id, in: db)
    }

    /// Changes what is not nil. Nil when there is no such row.
    package static func patch(
        id: Int64, name: String?, tags: [String]?, metadata: [UInt8]?, in db: any PostgresQuerying
    ) async throws -> ConnectionRecord? {
        let rows = try await db.execute(
            patchStatement,
            [
                .int8(id), .optional(name) { .text($0) }, .optional(tags) { .textArray($0) },
                .optional(metadata) { .jsonb($0) },
            ])
        guard rows.first != nil else { return nil }
        return try await find(id: id, in: db)
    }

    /// Moves the connection to `revoking`: unusable at once. Nil when it is already there or gone. The caller enqueues
    /// the revocation job in the same transaction.
    package static func requestDeletion(id: Int64, in transaction: any PostgresQuerying) async throws
        -> ConnectionRecord?
    {
        guard try await transaction.execute(requestDeletionStatement, [.int8(id)]).first != nil else { return nil }
        return try await find(id: id, in: transaction)
    }

    /// Records uses, many at a time; an older time never replaces a newer one.
    package static func touchUsed(_ uses: [Int64: Date], in db: any PostgresQuerying) async throws {
        let ordered = uses.sorted { $0.key < $1.key }
        try await db.execute(
            touchUsedStatement, [.int8Array(ordered.map(\.key)), .timestamptzArray(ordered.map(\.value))])
    }

    private static func found(_ rows: PostgresRows, _ statement: String, in db: any PostgresQuerying) async throws
        -> ConnectionRecord
    {
        guard let row = rows.first, let record = try await find(id: row.decode(Int64.self), in: db) else {
            throw InvalidValue(item: statement, problem: "found no row", repair: "lock the connection first")
        }
        return record
    }
}
