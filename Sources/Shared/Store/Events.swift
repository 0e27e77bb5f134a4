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
}

/// Rows of `evergrant.events`: the outbox. Transitions write theirs by trigger, in their own transaction.
package enum Events {
    /// The types that there are, with those that an endpoint gets which names none.
    package static let types =
        told + ["connection.pending", "connection.restored", "connection.degraded", "connection.suspected"]

    /// What an endpoint gets that names no types: what an app must act upon or show.
    package static let told = [
        "connection.created", "connection.broken", "connection.recovered", "connection.expiring", "connection.deleted",
        "connection.revoked", "connection.reconnect_requested",
    ]

    /// Sent by hand to one endpoint, to see whether it works. It reaches no other.
    package static let testType = "webhook.test"

    /// The feed after `position`, in order and without gaps.
    package static func feed(
        environmentID: Int64, after position: Int64, limit: Int = 100, in db: any PostgresQuerying
    ) async throws -> [EventRecord] {
        try await db.execute(
            feedStatement, [.int8(environmentID), .int8(position), .int4(Int32(min(max(limit, 1), 1000)))]
        ).map(EventRecord.init)
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
    /// - Returns: how many events got a place, and the deliveries, whose jobs the caller enqueues in the same
    ///   transaction.
    package static func sequence(
        limit: Int, in transaction: any PostgresQuerying
    ) async throws -> (events: Int, deliveries: [WaitingDelivery]) {
        let limit = PostgresParameter.int4(Int32(min(max(limit, 1), 10_000)))
        let environments = try await transaction.execute(claimFeedsStatement, [limit]).map { try $0.decode(Int64.self) }
        if environments.isEmpty { return (0, []) }
        // A statement of its own: its snapshot is taken after the feed was locked, so it sees what the last
        // sequencer committed.
        let rows = try await transaction.execute(
            sequenceStatement, [.int8Array(environments), limit, .textArray(told)])
        var events: Int64 = 0
        var deliveries: [WaitingDelivery] = []
        for row in rows {
            let (count, id, environmentID) = try row.decode(Int64.self, Int64?.self, Int64?.self)
            events = count
            if let id, let environmentID { deliveries.append(WaitingDelivery(id: id, environmentID: environmentID)) }
        }
        return (Int(events), deliveries)
    }

    /// Writes the event of a test and its delivery to one endpoint. Nil when there is no such endpoint.
    package static func insertTest(
        endpointID: Int64, in transaction: any PostgresQuerying
    ) async throws -> WaitingDelivery? {
        try await transaction.execute(insertTestStatement, [.int8(endpointID), .text(testType)]).first.map {
            let (id, environmentID) = try $0.decode(Int64.self, Int64.self)
            return WaitingDelivery(id: id, environmentID: environmentID)
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
