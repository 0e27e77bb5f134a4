import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store
import Webhooks

/// `/v1/webhook-endpoints`.
struct WebhooksController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/webhook-endpoints", [.get: APICall(.read, list)])
        routes.add(
            "/v1/webhook-endpoints/:name",
            [.get: APICall(.read, show), .put: APICall(.configure, put), .delete: APICall(.configure, delete)])
        routes.add("/v1/webhook-endpoints/:name/rotate-secret", [.post: APICall(.configure, rotate)])
        routes.add("/v1/webhook-endpoints/:name/end-rotation", [.post: APICall(.configure, endRotation)])
        routes.add("/v1/webhook-endpoints/:name/enable", [.post: APICall(.configure, enable)])
        routes.add("/v1/webhook-endpoints/:name/disable", [.post: APICall(.configure, disable)])
        routes.add("/v1/webhook-endpoints/:name/test", [.post: APICall(.configure, test)])
        routes.add("/v1/webhook-endpoints/:name/health", [.get: APICall(.read, health)])
        routes.add("/v1/webhook-endpoints/:name/replay", [.post: APICall(.configure, replay)])
        routes.add("/v1/webhook-endpoints/:name/deliveries", [.get: APICall(.read, deliveries)])
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
            environmentID: try environment(context), actor: context.actor)
        return try .json(
            WebhookEndpointBody(change.endpoint, secret: change.secret?.text.revealedText()),
            status: change.secret == nil ? .ok : .created, holdsSecret: change.secret != nil)
    }

    @Sendable private func rotate(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["overlap_seconds"]
            let overlap_seconds: Int?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        if let seconds = body.overlap_seconds, !(0...2_592_000).contains(seconds) {
            throw HTTPProblem.invalid("overlap_seconds", "is not a number from 0 to 2592000")
        }
        let found = try await find(context)
        let change = try await editor.rotateSecret(
            name: found.name, overlap: body.overlap_seconds.map { .seconds($0) }, environmentID: found.environmentID,
            actor: context.actor)
        return try .json(
            WebhookEndpointBody(change.endpoint, secret: change.secret?.text.revealedText()), holdsSecret: true)
    }

    @Sendable private func endRotation(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try await changed(
            try await operations.endRotation(
                name: try context.parameter("name"), environmentID: try environment(context), actor: context.actor))
    }

    @Sendable private func enable(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try await changed(
            try await operations.enable(
                name: try context.parameter("name"), environmentID: try environment(context), actor: context.actor))
    }

    @Sendable private func disable(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["reason"]
            let reason: String?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        return try await changed(
            try await operations.disable(
                name: try context.parameter("name"), reason: body.reason ?? "disabled by a call",
                environmentID: try environment(context), actor: context.actor))
    }

    private func changed(_ endpoint: WebhookEndpointRecord?) async throws -> Reply {
        guard let endpoint else { throw HTTPProblem.missing("webhook endpoint") }
        return try .json(WebhookEndpointBody(endpoint))
    }

    @Sendable private func health(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        return try .json(
            EndpointHealthBody(found, try await Deliveries.health(endpointID: found.id, in: services.pool)))
    }

    @Sendable private func replay(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["after", "through", "since", "until", "types", "undelivered_only", "limit", "preview"]
            let after: Int64?
            let through: Int64?
            let since: Date?
            let until: Date?
            let types: [String]?
            let undelivered_only: Bool?
            let limit: Int?
            let preview: Bool?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        guard body.after != nil || body.since != nil else {
            throw HTTPProblem.invalid("after", "is missing, and so is since: say where the replay begins")
        }
        guard (1...10_000).contains(body.limit ?? 1), (body.after ?? 0) >= 0 else {
            throw HTTPProblem.invalid("limit", "is not a number from 1 to 10000, or after is negative")
        }
        try WebhookEndpointRules.check(types: body.types)
        var range = ReplayRange()
        range.after = body.after ?? 0
        range.through = body.through
        range.since = body.since
        range.until = body.until
        range.types = body.types
        range.undeliveredOnly = body.undelivered_only ?? false
        range.limit = body.limit ?? range.limit
        let found = try await find(context)
        if body.preview == true {
            let found = try await Deliveries.previewReplay(range, endpointID: found.id, in: services.pool)
            return try .json(ReplayBody(count: found.count, next_after: found.next, preview: true))
        }
        try requireEnabled(found)
        let (count, next) = try await dispatcher.replay(range, endpointID: found.id)
        return try .json(ReplayBody(count: count, next_after: next, preview: false), status: .accepted)
    }

    private func requireEnabled(_ endpoint: WebhookEndpointRecord) throws(HTTPProblem) {
        if endpoint.disabledAt != nil { throw .endpointDisabled(endpoint.name, endpoint.disabledReason) }
    }

    @Sendable private func test(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        try requireEnabled(found)
        guard try await dispatcher.sendTest(endpointID: found.id) else { throw HTTPProblem.missing("webhook endpoint") }
        return Reply(status: .accepted, body: Array(#"{"sent":"webhook.test"}"#.utf8))
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard
            try await operations.delete(
                name: try context.parameter("name"), environmentID: try environment(context), actor: context.actor)
        else { throw HTTPProblem.missing("webhook endpoint") }
        return .empty
    }

    @Sendable private func deliveries(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["state", "limit", "cursor"])
        let found = try await find(context)
        let limit = try query.integer("limit", 1...200, default: 50)
        let rows = try await Deliveries.list(
            environmentID: found.environmentID, endpointID: found.id,
            state: try query.word("state", DeliveryState.self),
            before: try Cursor.parse(query["cursor"]), limit: limit, in: services.pool)
        return try .page(
            rows.map { try JSONCoding.encode(DeliveryBody($0)) },
            next: rows.count == limit ? rows.last.map { Cursor.text($0.id) } : nil)
    }

    private var dispatcher: WebhookDispatcher {
        WebhookDispatcher(pool: services.pool, queue: services.queue, configuration: services.webhooks)
    }

    private var operations: WebhookEndpointOperations {
        WebhookEndpointOperations(pool: services.pool, queue: services.queue, configuration: services.webhooks)
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

/// How an endpoint does.
struct EndpointHealthBody: Encodable {
    let endpoint: String
    let state: String
    let failing_since: Date?
    let disabled_at: Date?
    let disabled_reason: String?
    let last_delivered_at: Date?
    let pending: Int
    let oldest_pending_at: Date?
    let ended: Int
    let delivered: Int
    /// Of those that ended; null when none did.
    let success_rate: Double?
    let tries: Int
    let median_ms: Int?
    let since: Date?

    init(_ record: WebhookEndpointRecord, _ health: EndpointHealth) {
        endpoint = record.uid
        state = record.disabledAt != nil ? "disabled" : record.failingSince != nil ? "failing" : "enabled"
        failing_since = record.failingSince
        disabled_at = record.disabledAt
        disabled_reason = record.disabledReason
        last_delivered_at = health.lastDeliveredAt
        pending = health.pending
        oldest_pending_at = health.oldestPendingAt
        ended = health.ended
        delivered = health.delivered
        success_rate =
            health.ended == 0 ? nil : (Double(health.delivered) / Double(health.ended) * 10_000).rounded() / 10_000
        tries = health.tries
        median_ms = health.medianMilliseconds
        since = health.since
    }
}

struct ReplayBody: Encodable {
    let count: Int
    /// Send it as `after` to go on; null when the range is done.
    let next_after: Int64?
    let preview: Bool
}

extension HTTPProblem {
    static func endpointDisabled(_ name: String, _ reason: String?) -> HTTPProblem {
        HTTPProblem(
            .conflict, "endpoint_disabled",
            "The webhook endpoint \(name) is disabled\(reason.map { ": \($0)" } ?? "").",
            hint: "POST /v1/webhook-endpoints/\(name)/enable lets deliveries go on")
    }
}
