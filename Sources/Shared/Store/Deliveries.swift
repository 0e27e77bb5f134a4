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
    package let endpointUID: String
    package let endpointName: String
    package let eventUID: String
    package let eventType: String
    /// The event's place in the feed; nil for a moment, or for a test's.
    package let position: Int64?
    package let state: DeliveryState
    /// All tries, of earlier rounds too.
    package let attempts: Int
    package let nextAttemptAt: Date?
    /// When tries end.
    package let deliverUntil: Date
    package let lastStatus: Int?
    package let lastError: String?
    /// JSON array of the last tries, oldest first: `at`, `ms`, and `status` or `error`.
    package let log: [UInt8]
    package let createdAt: Date
    package let deliveredAt: Date?
    /// When it was last asked for again.
    package let replayedAt: Date?
}

/// Which events an endpoint is to be sent again.
package struct ReplayRange: Sendable {
    /// Positions after this one; 0: from the beginning.
    package var after: Int64 = 0
    package var through: Int64?
    package var since: Date?
    package var until: Date?
    /// Nil: those that the endpoint gets; `*`: all.
    package var types: [String]?
    /// Leaves out what was delivered.
    package var undeliveredOnly = false
    /// Events of one call.
    package var limit = 10_000

    package init() {}
}

/// How an endpoint does, from its last 1000 deliveries.
package struct EndpointHealth: Sendable, Hashable {
    /// Of the last 1000, those that ended, and of these those delivered.
    package let ended: Int
    package let delivered: Int
    /// Tries of the last 1000.
    package let tries: Int
    /// Median of the successful tries, in milliseconds.
    package let medianMilliseconds: Int?
    /// When the oldest of these was made.
    package let since: Date?
    package let lastDeliveredAt: Date?
    /// Counted up to 10,000.
    package let pending: Int
    /// When the event of the oldest pending delivery happened.
    package let oldestPendingAt: Date?
}

/// All that one try needs: one round trip.
package struct DueDelivery: Sendable {
    package let id: Int64
    package let environmentID: Int64
    package let state: DeliveryState
    /// Tries of this round so far.
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
    /// Whether someone asked for it again.
    package let isReplay: Bool
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

    /// Deliveries of an environment, newest first, before the one with id `before`.
    package static func list(
        environmentID: Int64, endpointID: Int64? = nil, eventID: Int64? = nil, state: DeliveryState? = nil,
        before: Int64? = nil, limit: Int = 50, in db: any PostgresQuerying
    ) async throws -> [DeliveryRecord] {
        try await db.execute(
            eventID != nil ? listOfEventStatement : endpointID != nil ? listOfEndpointStatement : listStatement,
            [
                .int8(environmentID), .optional(state?.rawValue) { .text($0) }, .int8(before ?? .max),
                .int4(Int32(min(max(limit, 1), 200))), .optional(eventID) { .int8($0) },
                .optional(endpointID) { .int8($0) },
            ]
        ).map(DeliveryRecord.init)
    }

    package static func find(
        uid: String, environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> DeliveryRecord? {
        try await db.execute(findStatement, [.int8(environmentID), .text(uid)]).first.map(DeliveryRecord.init)
    }

    /// Makes an ended delivery pending for a new round, or a pending one due at once. Nil when its endpoint is disabled.
    package static func redeliver(
        id: Int64, patience: Duration, in transaction: any PostgresQuerying
    ) async throws -> WaitingDelivery? {
        if let again = try await transaction.execute(redeliverStatement, [.int8(id), .interval(patience)]).first {
            return try waiting(again)
        }
        return try await transaction.execute(hastenStatement, [.int8(id)]).first.map(waiting)
    }

    /// Makes deliveries of a range pending, those that ended and those that never were; pending ones stay as they are.
    /// None when the endpoint is disabled.
    /// - Returns: the deliveries, and the position of the last event when there may be more after it.
    package static func replay(
        _ range: ReplayRange, endpointID: Int64, patience: Duration, in transaction: any PostgresQuerying
    ) async throws -> (deliveries: [WaitingDelivery], next: Int64?) {
        let rows = try await transaction.execute(replayStatement, parameters(range, endpointID, patience))
        var next: Int64?
        let deliveries = try rows.compactMap { row -> WaitingDelivery? in
            let (position, id, environmentID, endpoint) = try row.decode(
                Int64?.self, Int64?.self, Int64?.self, String?.self)
            next = position
            guard let id, let environmentID, let endpoint else { return nil }
            return WaitingDelivery(id: id, environmentID: environmentID, endpointUID: endpoint)
        }
        return (deliveries, next)
    }

    /// How many events ``replay(_:endpointID:patience:in:)`` would send, up to the limit, and where to go on.
    package static func previewReplay(
        _ range: ReplayRange, endpointID: Int64, in db: any PostgresQuerying
    ) async throws -> (count: Int, next: Int64?) {
        let row = try await db.execute(previewReplayStatement, parameters(range, endpointID, .zero)).first
        let (count, last) = try row?.decode(Int.self, Int64?.self) ?? (0, nil)
        return (count, count >= range.limit ? last : nil)
    }

    private static func parameters(
        _ range: ReplayRange, _ endpointID: Int64, _ patience: Duration
    ) -> [PostgresParameter] {
        [
            .int8(endpointID), .interval(patience), .int8(range.after), .optional(range.through) { .int8($0) },
            .optional(range.since) { .timestamptz($0) }, .optional(range.until) { .timestamptz($0) },
            .optional(range.types) { .textArray($0) }, .textArray(Events.told), .bool(range.undeliveredOnly),
            .int4(Int32(min(max(range.limit, 1), 10_000))),
        ]
    }

    package static func health(
        endpointID: Int64, in db: any PostgresQuerying
    ) async throws -> EndpointHealth {
        guard let row = try await db.execute(healthStatement, [.int8(endpointID)]).first else {
            throw MissingRow(statement: healthStatement.name)
        }
        return try EndpointHealth(row)
    }

    /// Deletes deliveries that ended over `age` ago, but those of breaks that stand.
    /// - Returns: how many; call again at once when it was `limit`.
    package static func prune(olderThan age: Duration, limit: Int = 5000, in db: any PostgresQuerying) async throws
        -> Int
    {
        try await db.execute(pruneStatement, [.interval(age), .int4(Int32(limit))])
            .map { try $0.decode(Int64.self) }.count
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
        endpointID: Int64, patience: Duration, limit: Int = 10_000, in db: any PostgresQuerying
    ) async throws -> [WaitingDelivery] {
        try await db.execute(
            retellBreaksStatement,
            [.int8(endpointID), .int4(Int32(limit)), .textArray(Events.told), .interval(patience)]
        ).map(waiting)
    }

    private static func waiting(_ row: PostgresRow) throws -> WaitingDelivery {
        let (id, environmentID, endpoint) = try row.decode(Int64.self, Int64.self, String.self)
        return WaitingDelivery(id: id, environmentID: environmentID, endpointUID: endpoint)
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
            id, uid, environmentID, endpointUID, endpointName, eventUID, eventType, position, stateText, attemptCount,
            nextAttemptAt, deliverUntil, status, lastError, log, createdAt, deliveredAt, replayedAt
        ) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, String.self, String.self, Int64?.self,
            String.self, Int32.self, Date?.self, Date.self, Int32?.self, String?.self, [UInt8].self, Date.self,
            Date?.self, Date?.self)
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
            endpointUID, url, secret, secretVersion, previousSecret, isDisabled, isFailing, isReplay
        ) = try row.decode(
            Int64.self, Int64.self, String.self, Int32.self, Date?.self, Date.self, Date.self, String.self, String.self,
            Int64.self, String.self, String.self, [UInt8].self, Int64.self, [UInt8]?.self, Bool.self, Bool.self,
            Bool.self)
        state = try DeliveryState(stored: stateText)
        attempts = Int(attemptCount)
        document = Array(text.utf8)
    }
}

extension EndpointHealth {
    init(_ row: PostgresRow) throws {
        let median: Int64?
        (ended, delivered, tries, median, since, lastDeliveredAt, pending, oldestPendingAt) = try row.decode(
            Int.self, Int.self, Int.self, Int64?.self, Date?.self, Date?.self, Int.self, Date?.self)
        medianMilliseconds = median.map(Int.init)
    }
}
