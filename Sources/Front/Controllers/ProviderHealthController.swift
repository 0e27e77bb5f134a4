import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Store

/// `/v1/provider-health`: troubles of token endpoints, as they concern this environment's OAuth apps.
struct ProviderHealthController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/provider-health", [.get: APICall(.readJobs, list)])
        routes.add("/v1/provider-health/unclassified", [.get: APICall(.readJobs, unclassified)])
        routes.add("/v1/provider-health/release", [.post: APICall(.operate, release)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let most = try QueryReader(request, allowing: ["limit"]).integer("limit", 1...1000, default: 200)
        let reports = try await EndpointReports.list(
            environmentID: try context.authenticated().environment.id, limit: most, in: services.pool)
        return try .page(reports.map { try JSONCoding.encode(EndpointBody($0)) }, next: nil)
    }

    @Sendable private func unclassified(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let most = try QueryReader(request, allowing: ["limit"]).integer("limit", 1...1000, default: 100)
        let answers = try await UnclassifiedAnswers.list(
            environmentID: try context.authenticated().environment.id, limit: most, in: services.pool)
        return try .page(answers.map { try JSONCoding.encode(UnclassifiedBody($0)) }, next: nil)
    }

    @Sendable private func release(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["oauth_app", "host"]
            let oauth_app: String
            let host: String?
        }
        struct Answer: Encodable { let released: Int }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let released = try await HealthRelease(services.lifecycle).release(
            environmentID: try context.authenticated().environment.id, appUID: body.oauth_app, host: body.host)
        guard released > 0 else { throw HTTPProblem.missing("trouble of this OAuth app") }
        return try .json(Answer(released: released))
    }
}

/// One token endpoint of one OAuth app.
struct EndpointBody: Encodable {
    let oauth_app: String
    let provider: String
    let client_id: String
    /// Null: the app as a whole, whose connections have endpoints of their own.
    let host: String?
    let breaker: String
    let breaker_since: Date?
    let blocked_until: Date?
    let quarantined_at: Date?
    /// The app was refused at one account, and nobody else says so.
    let isolated_fault: String?
    let wave_since: Date?
    let wave_until: Date?
    let verdicts_held: Int
    let next_probe_at: Date?
    let last_trouble: String?
    let last_trouble_at: Date?
    let needs_attention: Bool

    init(_ report: EndpointReport) {
        oauth_app = report.appUID
        provider = report.provider
        client_id = report.clientID
        host = report.host.isEmpty ? nil : report.host
        breaker = report.breaker.rawValue
        breaker_since = report.breakerSince
        blocked_until = report.blockedUntil
        quarantined_at = report.quarantinedAt
        isolated_fault = report.isolatedFault
        wave_since = report.waveSince
        wave_until = report.waveUntil
        verdicts_held = report.held
        next_probe_at = report.nextProbeAt
        last_trouble = report.lastTrouble
        last_trouble_at = report.lastTroubleAt
        needs_attention = report.needsAttention
    }
}

/// A shape of answers that no rule knows.
struct UnclassifiedBody: Encodable {
    let oauth_app: String
    let provider: String
    let host: String
    let status: Int
    let code: String?
    let sample: String?
    let request_id: String?
    let seen: Int
    let first_at: Date
    let last_at: Date

    init(_ record: UnclassifiedRecord) {
        oauth_app = record.appUID
        provider = record.provider
        host = record.host
        status = record.answer.status
        code = record.answer.code
        sample = record.answer.sample
        request_id = record.answer.requestID
        seen = record.answer.seen
        first_at = record.firstAt
        last_at = record.lastAt
    }
}
