import Foundation
import HTTPTypes
import Hummingbird
import Queue
import Store

/// `/v1/limits`: limits of the keys that this environment's app gives its jobs.
///
/// A caller names a key as the app names it in `evergrant.enqueue(limit_key)`. It stands for
/// `app:<environment>:<key>`, as that function stores it, so no environment reaches another's keys, nor those of
/// Evergrant's own jobs; operators see and set all of them by `evergrant limits`.
struct LimitsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/limits", [.get: APICall(.readJobs, list)])
        routes.add(
            "/v1/limits/:key",
            [.get: APICall(.readJobs, show), .put: APICall(.operate, put), .delete: APICall(.operate, delete)])
        routes.add("/v1/limits/:key/block", [.post: APICall(.operate, block)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["limit", "cursor"])
        let prefix = try prefix(context)
        let most = try query.integer("limit", 1...200, default: 50)
        let after = query["cursor"].flatMap { $0.isEmpty ? nil : $0 }
        if let after, after.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) {
            throw HTTPProblem.invalid("cursor", "is not one this list gave")
        }
        let states = try await services.queue.limits(
            after: after.map { prefix + LimitKey.decoded($0) }, prefix: prefix, limit: most)
        return try .page(
            states.map { try JSONCoding.encode(LimitBody($0, prefix: prefix)) },
            next: states.count == most
                ? states.last.map { LimitKey.encoded(LimitKey.own($0.limit.key, prefix: prefix)) } : nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try await reply(try key(context), context)
    }

    @Sendable private func put(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["concurrency", "rate_per_second", "burst"]
            let concurrency: Int?
            let rate_per_second: Double?
            let burst: Int?
        }
        let key = try key(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        guard body.concurrency != nil || body.rate_per_second != nil else {
            throw HTTPProblem.invalid("concurrency", "is missing, and so is rate_per_second; give one or both")
        }
        guard body.burst == nil || body.rate_per_second != nil else {
            throw HTTPProblem.invalid("burst", "goes with rate_per_second")
        }
        try await services.queue.setLimit(
            JobLimit(
                key: key, concurrency: body.concurrency, rate: body.rate_per_second, burst: body.burst ?? 1))
        return try await reply(key, context)
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard try await services.queue.removeLimit(try key(context)) else { throw HTTPProblem.missing("limit") }
        return .empty
    }

    /// What a provider's 429 with Retry-After asks for.
    @Sendable private func block(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["seconds", "because"]
            let seconds: Double
            let because: String?
        }
        let key = try key(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        guard body.seconds > 0, body.seconds <= 2_592_000 else {
            throw HTTPProblem.invalid("seconds", "is not more than 0 and at most 2592000 (30 days)")
        }
        try await services.queue.block(
            limitKey: key, for: .seconds(body.seconds), because: body.because ?? "asked for over HTTP")
        return try await reply(key, context)
    }

    private func reply(_ key: String, _ context: FrontRequestContext) async throws -> Reply {
        guard let state = try await services.queue.limit(key) else { throw HTTPProblem.missing("limit") }
        return try .json(LimitBody(state, prefix: try prefix(context)))
    }

    private func prefix(_ context: FrontRequestContext) throws -> String {
        "app:\(try context.authenticated().environment.name):"
    }

    /// The key as stored.
    private func key(_ context: FrontRequestContext) throws -> String {
        let prefix = try prefix(context)
        let own = try context.decodedParameter("key")
        let most = 200 - prefix.unicodeScalars.count
        guard (1...most).contains(own.unicodeScalars.count),
            !own.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 })
        else { throw HTTPProblem.invalid("key", "is not 1 to \(most) characters without control characters") }
        return prefix + own
    }
}

/// Keys as the app knows them; and in cursors, which are plain, while a key may have any character.
enum LimitKey {
    static func own(_ key: String, prefix: String) -> String {
        String(decoding: key.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    static func encoded(_ key: String) -> String {
        key.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? key
    }

    static func decoded(_ cursor: String) -> String { cursor.removingPercentEncoding ?? cursor }
}

struct LimitBody: Encodable {
    let key: String
    let concurrency: Int?
    let in_use: Int
    let rate_per_second: Double?
    let burst: Int?
    let tokens: Double?
    /// Parked until there is room, counted up to 10,000.
    let waiting: Int
    let blocked_until: Date?
    let blocked_because: String?

    init(_ state: JobLimitState, prefix: String) {
        key = LimitKey.own(state.limit.key, prefix: prefix)
        concurrency = state.limit.concurrency
        in_use = state.inUse
        rate_per_second = state.limit.rate
        burst = state.limit.rate == nil ? nil : state.limit.burst
        tokens = state.tokens
        waiting = state.waiting
        blocked_until = state.blockedUntil
        blocked_because = state.blockedBecause
    }
}
