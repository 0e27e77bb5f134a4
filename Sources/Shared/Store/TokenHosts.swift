import Foundation
import Postgres

/// Which token endpoint of which OAuth app.
package struct TokenHostKey: Sendable, Hashable {
    package let appID: Int64
    /// `host[:port]`, with the tenant behind it; empty: the app as a whole, whose connections have endpoints of their
    /// own.
    package let host: String
    /// Whether trouble here is trouble of the whole app.
    package let isWhole: Bool

    package init(appID: Int64, host: String, isWhole: Bool) {
        self.appID = appID
        self.host = host
        self.isWhole = isWhole
    }
}

/// A row as it is read, and as people see it.
package struct TokenHostRow: Sendable {
    package let key: TokenHostKey
    /// JSON that Lifecycle writes and reads.
    package let state: [UInt8]
    package let tendAt: Date?
    /// Version of the app's client secret now.
    package let secretVersion: Int64
    package let appSuspendedAt: Date?
    /// The database's clock when this was read.
    package let now: Date
}

/// A row with its app, for people and gauges.
package struct SeenTokenHost: Sendable {
    package let appID: Int64
    package let appUID: String
    package let provider: String
    package let clientID: String
    package let host: String
    package let state: [UInt8]
    package let tendAt: Date?
}

/// What is written beside the state, for people and queries.
package struct TokenHostFace: Sendable {
    package var breaker: String
    package var breakerSince: Date?
    package var blockedUntil: Date?
    package var quarantinedAt: Date?
    package var waveSince: Date?
    package var waveUntil: Date?
    package var nextProbeAt: Date?
    package var lastTrouble: String?
    package var lastTroubleAt: Date?

    package init(breaker: String) { self.breaker = breaker }
}

/// Rows of `evergrant.token_hosts`. Only trouble makes and changes them.
package enum TokenHosts {
    /// Locks the row, made if it is not there, to the end of the transaction.
    package static func lock(_ key: TokenHostKey, in transaction: any PostgresQuerying) async throws -> TokenHostRow {
        let parameters: [PostgresParameter] = [.int8(key.appID), .text(key.host)]
        if let row = try await transaction.execute(lockStatement, parameters).first { return try TokenHostRow(row) }
        try await transaction.execute(insertStatement, parameters + [.bool(key.isWhole)])
        guard let row = try await transaction.execute(lockStatement, parameters).first else {
            throw MissingRow(statement: lockStatement.name)
        }
        return try TokenHostRow(row)
    }

    /// Writes a locked row.
    package static func save(
        _ key: TokenHostKey, state: [UInt8], tendAt: Date?, face: TokenHostFace, in transaction: any PostgresQuerying
    ) async throws {
        try await transaction.execute(
            saveStatement,
            [
                .int8(key.appID), .text(key.host), .jsonb(state), .optional(tendAt) { .timestamptz($0) },
                .text(face.breaker), .optional(face.breakerSince) { .timestamptz($0) },
                .optional(face.blockedUntil) { .timestamptz($0) }, .optional(face.quarantinedAt) { .timestamptz($0) },
                .optional(face.waveSince) { .timestamptz($0) }, .optional(face.waveUntil) { .timestamptz($0) },
                .optional(face.nextProbeAt) { .timestamptz($0) }, .optional(face.lastTrouble) { .text($0) },
                .optional(face.lastTroubleAt) { .timestamptz($0) },
            ])
    }

    /// The rows that are not at rest, most pressing first.
    package static func watched(limit: Int, in db: any PostgresQuerying) async throws -> [TokenHostRow] {
        try await db.execute(watchedStatement, [.int4(Int32(limit))]).map { try TokenHostRow($0) }
    }

    /// The endpoints of an environment's apps, those that are not at rest first; without an environment only those.
    package static func seen(
        environmentID: Int64?, limit: Int, in db: any PostgresQuerying
    ) async throws -> [SeenTokenHost] {
        let limit = PostgresParameter.int4(Int32(min(max(limit, 1), 1000)))
        let rows =
            if let environmentID {
                try await db.execute(seenStatement, [.int8(environmentID), limit])
            } else {
                try await db.execute(troubledHostsStatement, [limit])
            }
        return try rows.map { row in
            let (id, uid, provider, client, host, state, tend) = try row.decode(
                Int64.self, String.self, String.self, String.self, String.self, [UInt8].self, Date?.self)
            return SeenTokenHost(
                appID: id, appUID: uid, provider: provider, clientID: client, host: host, state: state, tendAt: tend)
        }
    }

    /// The endpoints of one app of the environment; with `host`, that one's. For an operator's release.
    package static func keys(
        environmentID: Int64, appUID: String, host: String?, in db: any PostgresQuerying
    ) async throws -> [TokenHostKey] {
        try await db.execute(
            keysStatement, [.int8(environmentID), .text(appUID), .optional(host) { .text($0) }]
        ).map { row in
            let (app, host, whole) = try row.decode(Int64.self, String.self, Bool.self)
            return TokenHostKey(appID: app, host: host, isWhole: whole)
        }
    }

    /// The endpoints of an app that are quarantined.
    package static func quarantined(appID: Int64, in db: any PostgresQuerying) async throws -> [TokenHostRow] {
        try await db.execute(quarantinedStatement, [.int8(appID)]).map { try TokenHostRow($0) }
    }

    /// Connections of the app that may be probed with: `first`, then those in trouble, then any.
    package static func candidates(
        appID: Int64, first: Int64?, limit: Int, in db: any PostgresQuerying
    ) async throws -> [Int64] {
        var ids: [Int64] = first.map { [$0] } ?? []
        for statement in [troubledStatement, connectedStatement] where ids.count < limit {
            let more = try await db.execute(statement, [.int8(appID), .int4(Int32(limit))])
            ids += try more.map { try $0.decode(Int64.self) }.filter { !ids.contains($0) }
        }
        return Array(ids.prefix(limit))
    }

    /// Makes up to `limit` connections of the app that wait for no trouble of their own due now.
    package static func kick(appID: Int64, limit: Int, in db: any PostgresQuerying) async throws {
        try await db.execute(kickStatement, [.int8(appID), .int4(Int32(limit))])
    }

    /// Makes a batch of the app's waiting connections due within `ramp`, ever more of them a second; those that are due
    /// earlier anyway stay.
    /// - Returns: the id to go on after; nil when all have been seen.
    package static func release(
        appID: Int64, after id: Int64, limit: Int, over ramp: Duration, in db: any PostgresQuerying
    ) async throws -> Int64? {
        let row = try await db.execute(
            releaseStatement, [.int8(appID), .int8(id), .int4(Int32(limit)), .interval(ramp)]
        ).first
        guard let row else { return nil }
        let (seen, last) = try row.decode(Int64.self, Int64?.self)
        return seen < Int64(limit) ? nil : last
    }

    /// Writes an event of the operator's: it belongs to no connection.
    /// - Parameter details: joined to what every such event says of app and host.
    package static func tell(
        _ type: String, _ key: TokenHostKey, details: [UInt8], in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            tellStatement, [.int8(key.appID), .text(type), .text(key.host), .jsonb(details)])
    }

    static let columns = """
        h.oauth_app_id, h.host, h.whole, h.state, h.tend_at, a.secret_version, a.suspended_at, clock_timestamp()
        """

    /// Lock: the row, against other changes, not against references to it. Index: primary keys.
    static let lockStatement = PostgresStatement(
        "lock_token_host",
        """
        select \(columns) from evergrant.token_hosts h join evergrant.oauth_apps a on a.id = h.oauth_app_id
        where h.oauth_app_id = $1 and h.host = $2 for no key update of h
        """)

    static let insertStatement = PostgresStatement(
        "insert_token_host",
        """
        insert into evergrant.token_hosts (oauth_app_id, host, whole) values ($1, $2, $3) on conflict do nothing
        """)

    static let saveStatement = PostgresStatement(
        "save_token_host",
        """
        update evergrant.token_hosts set state = $3, tend_at = $4, breaker = $5, breaker_since = $6,
            blocked_until = $7, quarantined_at = $8, wave_since = $9, wave_until = $10, next_probe_at = $11,
            last_trouble = $12, last_trouble_at = $13, updated_at = clock_timestamp()
        where oauth_app_id = $1 and host = $2
        """)

    /// Index: token_hosts_to_tend, which holds only what is not at rest.
    static let watchedStatement = PostgresStatement(
        "list_watched_token_hosts",
        """
        select \(columns) from evergrant.token_hosts h join evergrant.oauth_apps a on a.id = h.oauth_app_id
        where h.tend_at is not null order by h.tend_at limit $1
        """)

    private static let seenColumns = "a.id, a.uid, a.provider, a.client_id, h.host, h.state, h.tend_at"

    static let seenStatement = PostgresStatement(
        "list_token_hosts",
        """
        select \(seenColumns) from evergrant.oauth_apps a join evergrant.token_hosts h on h.oauth_app_id = a.id
        where a.environment_id = $1
        order by h.tend_at is null, h.whole desc, h.last_trouble_at desc nulls last, h.host limit $2
        """)

    /// Index: token_hosts_to_tend.
    static let troubledHostsStatement = PostgresStatement(
        "list_troubled_token_hosts",
        """
        select \(seenColumns) from evergrant.token_hosts h join evergrant.oauth_apps a on a.id = h.oauth_app_id
        where h.tend_at is not null order by h.tend_at limit $1
        """)

    static let keysStatement = PostgresStatement(
        "find_token_hosts_of_app",
        """
        select h.oauth_app_id, h.host, h.whole
        from evergrant.oauth_apps a join evergrant.token_hosts h on h.oauth_app_id = a.id
        where a.environment_id = $1 and a.uid = $2 and ($3::text is null or h.host = $3) order by h.host limit 10000
        """)

    static let quarantinedStatement = PostgresStatement(
        "list_quarantined_token_hosts",
        """
        select \(columns) from evergrant.token_hosts h join evergrant.oauth_apps a on a.id = h.oauth_app_id
        where h.oauth_app_id = $1 and h.quarantined_at is not null limit 10000
        """)

    /// Index: connections_in_trouble.
    static let troubledStatement = PostgresStatement(
        "list_troubled_connections",
        """
        select id from evergrant.connections where oauth_app_id = $1 and state in ('degraded', 'suspected')
        order by id desc limit $2
        """)

    /// Index: connections_of_account.
    static let connectedStatement = PostgresStatement(
        "list_connected_connections",
        """
        select id from evergrant.connections
        where oauth_app_id = $1 and account_id is not null and state = 'active' limit $2
        """)

    /// Index: connections_in_trouble.
    static let kickStatement = PostgresStatement(
        "kick_waiting_connections",
        """
        update evergrant.connections c set refresh_due_at = now(), next_attempt_at = now()
        from (select id from evergrant.connections
            where oauth_app_id = $1 and state = 'degraded' and reason in ('provider_trouble', 'app_fault', 'unclassified')
                and failures = 0 and attempt_nonce is null
            order by id limit $2 for update skip locked) w
        where c.id = w.id
        """)

    /// Index: connections_in_trouble. The square root makes a constant crowd a rising one: few at first.
    static let releaseStatement = PostgresStatement(
        "release_waiting_connections",
        """
        with w as materialized (
            select id from evergrant.connections
            where oauth_app_id = $1 and state in ('degraded', 'suspected') and id > $2 order by id limit $3),
        locked as (
            select c.id, clock_timestamp() + sqrt(random()) * $4::interval as due
            from evergrant.connections c join w on w.id = c.id
            where c.state = 'degraded' and c.reason in ('provider_trouble', 'app_fault', 'unclassified')
                and c.attempt_nonce is null
            for update of c skip locked),
        moved as (
            update evergrant.connections c set refresh_due_at = l.due, next_attempt_at = l.due
            from locked l where c.id = l.id and c.refresh_due_at > l.due)
        select count(*), max(id) from w
        """)

    static let tellStatement = PostgresStatement(
        "tell_operator",
        """
        insert into evergrant.events (environment_id, type, payload)
        select a.environment_id, $2, jsonb_build_object(
            'oauth_app', jsonb_build_object('id', a.uid, 'provider', a.provider, 'client_id', a.client_id),
            'host', nullif($3, '')) || $4::jsonb
        from evergrant.oauth_apps a where a.id = $1
        """)
}

extension TokenHostRow {
    fileprivate init(_ row: PostgresRow) throws {
        let (app, host, whole, state, tend, secret, suspended, now) = try row.decode(
            Int64.self, String.self, Bool.self, [UInt8].self, Date?.self, Int64.self, Date?.self, Date.self)
        key = TokenHostKey(appID: app, host: host, isWhole: whole)
        self.state = state
        tendAt = tend
        secretVersion = secret
        appSuspendedAt = suspended
        self.now = now
    }
}
