import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store
import Webhooks

/// `/v1/webhook-endpoints` and the event feed.
struct WebhooksController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/webhook-endpoints", [.get: APICall(.read, list)])
        routes.add(
            "/v1/webhook-endpoints/:name",
            [.get: APICall(.read, show), .put: APICall(.configure, put), .delete: APICall(.configure, delete)])
        routes.add("/v1/webhook-endpoints/:name/rotate-secret", [.post: APICall(.configure, rotate)])
        routes.add("/v1/webhook-endpoints/:name/test", [.post: APICall(.configure, test)])
        routes.add("/v1/webhook-endpoints/:name/deliveries", [.get: APICall(.read, deliveries)])
        routes.add("/v1/events", [.get: APICall(.read, feed)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let all = try await WebhookEndpoints.list(environmentID: try environment(context), in: services.pool)
        return try .page(all.map { try JSONCoding.encode(WebhookEndpointBody($0)) }, next: nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(WebhookEndpointBody(try await find(context)))
    }

    @Sendable private func put(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["url", "types"]
            let url: String
            let types: [String]?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let change = try await editor.put(
            name: try context.parameter("name"), url: body.url, types: body.types,
            environmentID: try environment(context))
        return try .json(
            WebhookEndpointBody(change.endpoint, secret: change.secret?.text.revealedText()),
            status: change.secret == nil ? .ok : .created, holdsSecret: change.secret != nil)
    }

    @Sendable private func rotate(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let change = try await editor.rotateSecret(name: found.name, environmentID: found.environmentID)
        return try .json(
            WebhookEndpointBody(change.endpoint, secret: change.secret?.text.revealedText()), holdsSecret: true)
    }

    @Sendable private func test(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let dispatcher = WebhookDispatcher(
            pool: services.pool, queue: services.queue, configuration: services.webhooks)
        guard try await dispatcher.sendTest(endpointID: found.id) else { throw HTTPProblem.missing("webhook endpoint") }
        return Reply(status: .accepted, body: Array(#"{"sent":"webhook.test"}"#.utf8))
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        _ = try await WebhookEndpoints.delete(
            name: found.name, environmentID: found.environmentID, in: services.pool)
        return .empty
    }

    @Sendable private func deliveries(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["state", "limit", "cursor"])
        let found = try await find(context)
        let limit = try query.integer("limit", 1...200, default: 50)
        let rows = try await Deliveries.list(
            endpointID: found.id, state: try query.word("state", DeliveryState.self),
            before: try Cursor.parse(query["cursor"]), limit: limit, in: services.pool)
        return try .page(
            rows.map { try JSONCoding.encode(DeliveryBody($0)) },
            next: rows.count == limit ? rows.last.map { Cursor.text($0.id) } : nil)
    }

    /// Every event once, in order, without gaps: `after` is the position of the last one the caller has.
    @Sendable private func feed(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["after", "limit"])
        let after = try query.integer("after", 0...Int.max, default: 0)
        let rows = try await Events.feed(
            environmentID: try environment(context), after: Int64(after),
            limit: try query.integer("limit", 1...1000, default: 100), in: services.pool)
        let next = rows.last?.position ?? Int64(after)
        var reply = Reply.page(rows.map(\.document), next: nil)
        reply.body.removeLast()
        reply.body += Array(",\"next_after\":\(next)}".utf8)
        return reply
    }

    private var editor: WebhookEndpointEditor {
        WebhookEndpointEditor(
            pool: services.pool, queue: services.queue, vault: services.vault, configuration: services.webhooks)
    }

    private func find(_ context: FrontRequestContext) async throws -> WebhookEndpointRecord {
        guard
            let found = try await WebhookEndpoints.find(
                name: try context.parameter("name"), environmentID: try environment(context), in: services.pool)
        else { throw HTTPProblem.missing("webhook endpoint") }
        return found
    }

    private func environment(_ context: FrontRequestContext) throws -> Int64 {
        try context.authenticated().environment.id
    }
}

struct WebhookEndpointBody: Encodable {
    let id: String
    let name: String
    let url: String
    let types: [String]?
    /// Only in the answer that makes it.
    let secret: String?
    let previous_secret_until: Date?
    let disabled_at: Date?
    let disabled_reason: String?
    let failing_since: Date?
    let created_at: Date

    init(_ record: WebhookEndpointRecord, secret: String? = nil) {
        id = record.uid
        name = record.name
        url = record.url
        types = record.types
        self.secret = secret
        previous_secret_until = record.previousUntil
        disabled_at = record.disabledAt
        disabled_reason = record.disabledReason
        failing_since = record.failingSince
        created_at = record.createdAt
    }
}

struct DeliveryBody: Encodable {
    let id: String
    let event: String
    let type: String
    let state: String
    let attempts: Int
    let next_attempt_at: Date?
    let last_status: Int?
    let last_error: String?
    let log: [JSONValue]
    let created_at: Date
    let delivered_at: Date?

    init(_ record: DeliveryRecord) throws {
        id = record.uid
        event = record.eventUID
        type = record.eventType
        state = record.state.rawValue
        attempts = record.attempts
        next_attempt_at = record.nextAttemptAt
        last_status = record.lastStatus
        last_error = record.lastError
        log = try JSONDecoder().decode([JSONValue].self, from: Data(record.log))
        created_at = record.createdAt
        delivered_at = record.deliveredAt
    }
}
