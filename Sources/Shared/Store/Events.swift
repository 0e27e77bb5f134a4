import Foundation
import Postgres

/// One event of an environment's feed, as stored.
package struct EventRecord: Sendable, Hashable {
    package let id: Int64
    /// `evt_<32 hex>`: the `webhook-id` of every delivery, for ever.
    package let uid: String
    package let environmentID: Int64
    package let type: String
    package let connectionID: Int64?
    /// Place in the feed, without gaps; nil until the sequencer has seen the event.
    package let position: Int64?
    package let createdAt: Date
    /// JSON exactly as webhooks and the feed show it: `id`, `type`, `timestamp`, `data`.
    package let document: [UInt8]
}

/// A delivery that waits for its job.
package struct WaitingDelivery: Sendable, Hashable {
    package let id: Int64
    package let environmentID: Int64
    package let endpointUID: String
}

/// A page of a feed, and where the feed begins and ends, of one snapshot.
package struct FeedPage: Sendable {
    package let events: [EventRecord]
    /// Events up to this position were pruned.
    package let pruned: Int64
    /// The newest position; 0 when there was no event yet.
    package let newest: Int64
    /// Where to go on after: the last event's position, or the newest when no other event of this filter is there yet.
    package let next: Int64
}

/// Rows of `evergrant.events`: the outbox. Transitions write theirs by trigger, in their own transaction.
package enum Events {
    /// The types that there are, with those that an endpoint gets which names none. Each has a JSON Schema in
    /// `docs/events`.
    package static let types =
        told + ["connection.pending", "connection.restored", "connection.degraded", "connection.suspected"]
        + operators

    /// Of no connection, for the operator: endpoints that name them get them, `*` does not.
    package static let operators = [
        "oauth_app.suspended", "oauth_app.resumed", "provider.breaker_opened", "provider.breaker_closed",
        "provider.wave_began", "provider.wave_ended", "webhook_endpoint.disabled",
    ]

    /// What an endpoint gets that names no types: what an app must act upon or show.
    package static let told = [
        "connection.created", "connection.broken", "connection.recovered", "connection.expiring", "connection.deleted",
        "connection.revoked", "connection.reconnect_requested",
    ]

    /// Sent by hand to one endpoint, to see whether it works. It reaches no other.
    package static let testType = "webhook.test"

    /// The feed after a position, in order and without gaps. Nil when there is no such environment.
    /// - Parameters:
    ///   - position: nil: from the oldest that is kept.
    ///   - types: only these; nil: all.
    ///   - connectionID: only those of one connection.
    package static func page(
        environmentID: Int64, after position: Int64?, types: [String]? = nil, connectionID: Int64? = nil,
        limit: Int = 100, in db: any PostgresQuerying
    ) async throws -> FeedPage? {
        let limit = min(max(limit, 1), 1000)
        var parameters: [PostgresParameter] = [
            .int8(environmentID), .int8(position ?? 0), .int4(Int32(limit)), .optional(types) { .textArray($0) },
        ]
        if let connectionID { parameters.append(.int8(connectionID)) }
        let rows = try await db.execute(
            connectionID == nil ? feedStatement : feedOfConnectionStatement, parameters)
        var ends: (pruned: Int64, newest: Int64)?
        let events = try rows.compactMap { row -> EventRecord? in
            let (pruned, newest, id, uid, environmentID, type, connection, place, createdAt, document) = try row.decode(
                Int64.self, Int64.self, Int64?.self, String?.self, Int64?.self, String?.self, Int64?.self, Int64?.self,
                Date?.self, String?.self)
            ends = (pruned, newest)
            guard let id, let uid, let environmentID, let type, let createdAt, let document else { return nil }
            return EventRecord(
                id: id, uid: uid, environmentID: environmentID, type: type, connectionID: connection, position: place,
                createdAt: createdAt, document: Array(document.utf8))
        }
        guard let ends else { return nil }
        let next = events.count == limit ? events.last?.position : nil
        return FeedPage(
            events: events, pruned: ends.pruned, newest: ends.newest, next: next ?? max(ends.newest, position ?? 0))
    }

    /// The events of ``page(environmentID:after:types:connectionID:limit:in:)``, unfiltered.
    package static func feed(
        environmentID: Int64, after position: Int64, limit: Int = 100, in db: any PostgresQuerying
    ) async throws -> [EventRecord] {
        try await page(environmentID: environmentID, after: position, limit: limit, in: db)?.events ?? []
    }

    /// The newest position of each of these feeds.
    package static func heads(
        environmentIDs: [Int64], in db: any PostgresQuerying
    ) async throws -> [Int64: Int64] {
        let rows = try await db.execute(headsStatement, [.int8Array(environmentIDs)])
        return Dictionary(uniqueKeysWithValues: try rows.map { try $0.decode(Int64.self, Int64.self) })
    }

    /// Writes an event that concerns no connection; it gets its place in the feed after the commit. Transitions of
    /// connections write theirs themselves.
    /// - Parameter payload: a JSON object, by the schema of its type.
    /// - Returns: its uid.
    @discardableResult
    package static func insert(
        environmentID: Int64, type: String, payload: [UInt8], in db: any PostgresQuerying
    ) async throws -> String {
        guard
            let row = try await db.execute(
                insertStatement, [.int8(environmentID), .text(type), .jsonb(payload)]
            ).first
        else { throw MissingRow(statement: insertStatement.name) }
        return try row.decode(String.self)
    }

    /// Takes events older than `age` out of the feed's beginning, with their deliveries; stops at the first that is still
    /// to be delivered. A break that stands stays in the table until it is over.
    /// - Returns: how many left the feed; call again at once when it was `limit`.
    package static func prune(olderThan age: Duration, limit: Int = 1000, pool: PostgresPool) async throws -> Int {
        var pruned = 0
        for environmentID in try await pool.execute(environmentsStatement).map({ try $0.decode(Int64.self) }) {
            pruned += try await pool.transaction { db in
                let row = try await db.execute(
                    pruneStatement, [.int8(environmentID), .interval(age), .int4(Int32(limit))]
                ).first
                let (count, _, ids) = try row?.decode(Int.self, Int64?.self, [Int64].self) ?? (0, nil, [])
                let outlived = try await db.execute(outlivedStatement, [.int8(environmentID), .int4(Int32(limit))])
                    .map { try $0.decode(Int64.self) }
                try await db.execute(deleteDeliveriesStatement, [.int8Array(ids + outlived)])
                try await db.execute(deleteStatement, [.int8Array(ids + outlived)])
                return count
            }
        }
        return pruned
    }

    package static func find(
        uid: String, environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> EventRecord? {
        try await db.execute(findStatement, [.text(uid), .int8(environmentID)]).first.map(EventRecord.init)
    }

    /// The events of a connection, newest first.
    package static func list(
        connectionID: Int64, limit: Int = 100, in db: any PostgresQuerying
    ) async throws -> [EventRecord] {
        try await db.execute(listStatement, [.int8(connectionID), .int4(Int32(min(max(limit, 1), 1000)))])
            .map(EventRecord.init)
    }

    /// Gives new events their place in the feed and one delivery for each endpoint that wants them.
    ///
    /// An environment is taken by one sequencer at a time, and what another has taken is passed over, so that any
    /// number may run. Within an environment the order is that of the ids, hence for one connection that of its
    /// versions: a transition commits before the next one begins.
    /// - Parameter patience: how long deliveries are tried.
    /// - Returns: how many events got a place, and the deliveries, whose jobs the caller enqueues in the same
    ///   transaction.
    package static func sequence(
        limit: Int, patience: Duration = .seconds(3 * 86_400), in transaction: any PostgresQuerying
    ) async throws -> (events: Int, deliveries: [WaitingDelivery]) {
        let limit = PostgresParameter.int4(Int32(min(max(limit, 1), 10_000)))
        let environments = try await transaction.execute(claimFeedsStatement, [limit]).map { try $0.decode(Int64.self) }
        if environments.isEmpty { return (0, []) }
        // A statement of its own: its snapshot is taken after the feed was locked, so it sees what the last
        // sequencer committed.
        let rows = try await transaction.execute(
            sequenceStatement, [.int8Array(environments), limit, .textArray(told), .interval(patience)])
        var events: Int64 = 0
        var deliveries: [WaitingDelivery] = []
        for row in rows {
            let (count, id, environmentID, endpoint) = try row.decode(
                Int64.self, Int64?.self, Int64?.self, String?.self)
            events = count
            if let id, let environmentID, let endpoint {
                deliveries.append(WaitingDelivery(id: id, environmentID: environmentID, endpointUID: endpoint))
            }
        }
        return (Int(events), deliveries)
    }

    /// Writes the event of a test and its delivery to one endpoint. Nil when there is no such endpoint.
    package static func insertTest(
        endpointID: Int64, in transaction: any PostgresQuerying
    ) async throws -> WaitingDelivery? {
        try await transaction.execute(insertTestStatement, [.int8(endpointID), .text(testType)]).first.map {
            let (id, environmentID, endpoint) = try $0.decode(Int64.self, Int64.self, String.self)
            return WaitingDelivery(id: id, environmentID: environmentID, endpointUID: endpoint)
        }
    }
}

extension EventRecord {
    init(_ row: PostgresRow) throws {
        let text: String
        (id, uid, environmentID, type, connectionID, position, createdAt, text) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, Int64?.self, Int64?.self, Date.self, String.self)
        document = Array(text.utf8)
    }
}
