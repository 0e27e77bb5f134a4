import Foundation
import Pacing
import Postgres

/// Where a delivery stands.
package enum DeliveryState: String, Sendable, Hashable, CaseIterable {
    /// To be tried, or tried again.
    case pending
    /// The receiver answered 2xx.
    case delivered
    /// Given up: three days went by, the receiver is gone, or the event can't be sent. The feed keeps the event.
    case failed
}

/// One event for one endpoint, as operators see it.
package struct DeliveryRecord: Sendable, Hashable {
    package let id: Int64
    /// `dlv_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    package let eventUID: String
    package let eventType: String
    package let state: DeliveryState
    package let attempts: Int
    package let nextAttemptAt: Date?
    package let lastStatus: Int?
    package let lastError: String?
    /// JSON array of the last tries, oldest first: `at`, `ms`, and `status` or `error`.
    package let log: [UInt8]
    package let createdAt: Date
    package let deliveredAt: Date?
}

/// All that one try needs: one round trip.
package struct DueDelivery: Sendable {
    package let id: Int64
    package let environmentID: Int64
    package let state: DeliveryState
    /// Tries so far.
    package let attempts: Int
    package let nextAttemptAt: Date?
    package let deliverUntil: Date
    /// The database's clock.
    package let now: Date
    package let eventUID: String
    /// The body, JSON.
    package let document: [UInt8]
    package let endpointID: Int64
    package let endpointUID: String
    package let url: String
    /// Sealed for ``SealContext/webhookSecret(environmentID:endpointUID:version:)`` and ``secretVersion``.
    package let secret: [UInt8]
    package let secretVersion: Int64
    /// Sealed for the version before; nil when its time is over.
    package let previousSecret: [UInt8]?
    package let isDisabled: Bool
    package let isFailing: Bool
}

/// What became of one try.
package struct DeliveryAttempt: Sendable {
    /// The state it leaves.
    package var state: DeliveryState
    package var status: Int?
    /// A sentence without secrets; nil after a success.
    package var error: String?
    /// From the start of the request to its outcome.
    package var duration: Duration
    /// When to try again; nil unless the state is `pending`.
    package var nextAttemptIn: Duration?

    package init(
        state: DeliveryState, status: Int? = nil, error: String? = nil, duration: Duration,
        nextAttemptIn: Duration? = nil
    ) {
        self.state = state
        self.status = status
        self.error = error
        self.duration = duration
        self.nextAttemptIn = nextAttemptIn
    }
}

/// Rows of `evergrant.deliveries`.
package enum Deliveries {
    /// How many tries the log of a delivery keeps.
    package static let keptAttempts = 50

    /// Nil when the delivery is gone with its endpoint.
    package static func due(id: Int64, in db: any PostgresQuerying) async throws -> DueDelivery? {
        try await db.execute(dueStatement, [.int8(id)]).first.map(DueDelivery.init)
    }

    /// Writes a try down. Does nothing when the delivery is no longer pending: another worker was first.
    package static func record(
        _ attempt: DeliveryAttempt, of id: Int64, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            recordStatement,
            [
                .int8(id), .text(attempt.state.rawValue), .optional(attempt.status) { .int4(Int32(clamping: $0)) },
                .optional(attempt.error) { .text($0) }, .int8(attempt.duration.milliseconds),
                .optional(attempt.nextAttemptIn) { .interval($0) }, .int4(Int32(keptAttempts)),
            ]
        ).first != nil
    }

    /// Deliveries of an endpoint, newest first, before the one with id `before`.
    package static func list(
        endpointID: Int64, state: DeliveryState? = nil, before: Int64? = nil, limit: Int = 50,
        in db: any PostgresQuerying
    ) async throws -> [DeliveryRecord] {
        try await db.execute(
            listStatement,
            [
                .int8(endpointID), .optional(state?.rawValue) { .text($0) }, .int8(before ?? .max),
                .int4(Int32(min(max(limit, 1), 200))),
            ]
        ).map(DeliveryRecord.init)
    }

    /// Pending deliveries that nobody has tried for `overdue` after they were due, because their job went missing. Each
    /// is handed out once in that time.
    package static func claimForgotten(
        overdue: Duration, limit: Int, in db: any PostgresQuerying
    ) async throws -> [WaitingDelivery] {
        try await db.execute(claimForgottenStatement, [.interval(overdue), .int4(Int32(limit))]).map(waiting)
    }

    /// Makes deliveries pending again, or for the first time, of breaks that still stand and that the endpoint was
    /// never told: those given up, and those that happened while it was disabled.
    package static func retellBreaks(
        endpointID: Int64, limit: Int = 10_000, in db: any PostgresQuerying
    ) async throws -> [WaitingDelivery] {
        try await db.execute(
            retellBreaksStatement, [.int8(endpointID), .int4(Int32(limit)), .textArray(Events.told)]
        ).map(waiting)
    }

    private static func waiting(_ row: PostgresRow) throws -> WaitingDelivery {
        let (id, environmentID) = try row.decode(Int64.self, Int64.self)
        return WaitingDelivery(id: id, environmentID: environmentID)
    }
}

extension DeliveryState {
    /// The state that a row holds. The table's constraint admits no other.
    init(stored text: String) throws {
        guard let state = DeliveryState(rawValue: text) else { throw MissingRow(statement: "delivery state \(text)") }
        self = state
    }
}

extension DeliveryRecord {
    init(_ row: PostgresRow) throws {
        let stateText: String, attemptCount: Int32, status: Int32?
        (
            id, uid, environmentID, eventUID, eventType, stateText, attemptCount, nextAttemptAt, status, lastError, log,
            createdAt, deliveredAt
        ) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, String.self, Int32.self, Date?.self,
            Int32?.self, String?.self, [UInt8].self, Date.self, Date?.self)
        state = try DeliveryState(stored: stateText)
        attempts = Int(attemptCount)
        lastStatus = status.map(Int.init)
    }
}

extension DueDelivery {
    init(_ row: PostgresRow) throws {
        let stateText: String, attemptCount: Int32, text: String
        (
            id, environmentID, stateText, attemptCount, nextAttemptAt, deliverUntil, now, eventUID, text, endpointID,
            endpointUID, url, secret, secretVersion, previousSecret, isDisabled, isFailing
        ) = try row.decode(
            Int64.self, Int64.self, String.self, Int32.self, Date?.self, Date.self, Date.self, String.self, String.self,
            Int64.self, String.self, String.self, [UInt8].self, Int64.self, [UInt8]?.self, Bool.self, Bool.self)
        state = try DeliveryState(stored: stateText)
        attempts = Int(attemptCount)
        document = Array(text.utf8)
    }
}
