import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store
import Webhooks

/// `/v1/deliveries`: which events were sent where, with every try.
struct DeliveriesController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/deliveries", [.get: APICall(.read, list)])
        routes.add("/v1/deliveries/:id", [.get: APICall(.read, show)])
        routes.add("/v1/deliveries/:id/redeliver", [.post: APICall(.configure, redeliver)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["endpoint", "event", "state", "limit", "cursor"])
        let environmentID = try context.authenticated().environment.id
        var endpointID: Int64?, eventID: Int64?
        if let name = query["endpoint"] {
            let found = try await WebhookEndpoints.find(name: name, environmentID: environmentID, in: services.pool)
            guard let found else { throw HTTPProblem.missing("webhook endpoint") }
            endpointID = found.id
        }
        if let uid = query["event"] {
            let found = try await Events.find(uid: uid, environmentID: environmentID, in: services.pool)
            guard let found else { throw HTTPProblem.missing("event") }
            eventID = found.id
        }
        let limit = try query.integer("limit", 1...200, default: 50)
        let rows = try await Deliveries.list(
            environmentID: environmentID, endpointID: endpointID, eventID: eventID,
            state: try query.word("state", DeliveryState.self), before: try Cursor.parse(query["cursor"]), limit: limit,
            in: services.pool)
        return try .page(
            rows.map { try JSONCoding.encode(DeliveryBody($0)) },
            next: rows.count == limit ? rows.last.map { Cursor.text($0.id) } : nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(DeliveryBody(try await find(context)))
    }

    @Sendable private func redeliver(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let dispatcher = WebhookDispatcher(
            pool: services.pool, queue: services.queue, configuration: services.webhooks)
        guard try await dispatcher.redeliver(deliveryID: found.id) else {
            throw HTTPProblem.endpointDisabled(found.endpointName, nil)
        }
        return try .json(DeliveryBody(try await find(context)), status: .accepted)
    }

    private func find(_ context: FrontRequestContext) async throws -> DeliveryRecord {
        guard
            let found = try await Deliveries.find(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                in: services.pool)
        else { throw HTTPProblem.missing("delivery") }
        return found
    }
}

struct DeliveryBody: Encodable {
    let id: String
    let endpoint: String
    let event: String
    let type: String
    let position: Int64?
    let state: String
    let attempts: Int
    let next_attempt_at: Date?
    let deliver_until: Date
    let last_status: Int?
    let last_error: String?
    let log: [JSONValue]
    let created_at: Date
    let delivered_at: Date?
    let replayed_at: Date?

    init(_ record: DeliveryRecord) throws {
        id = record.uid
        endpoint = record.endpointName
        event = record.eventUID
        type = record.eventType
        position = record.position
        state = record.state.rawValue
        attempts = record.attempts
        next_attempt_at = record.nextAttemptAt
        deliver_until = record.deliverUntil
        last_status = record.lastStatus
        last_error = record.lastError
        log = try JSONDecoder().decode([JSONValue].self, from: Data(record.log))
        created_at = record.createdAt
        delivered_at = record.deliveredAt
        replayed_at = record.replayedAt
    }
}
