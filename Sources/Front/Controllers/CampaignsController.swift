import Foundation
import HTTPTypes
import Hummingbird
import Store

/// `/v1/campaigns`: one action over many connections of this environment, at a pace that disturbs nobody.
struct CampaignsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/campaigns", [.get: APICall(.read, list), .post: APICall(.manage, start)])
        routes.add("/v1/campaigns/preview", [.post: APICall(.read, preview)])
        routes.add("/v1/campaigns/:id", [.get: APICall(.read, show)])
        routes.add("/v1/campaigns/:id/members", [.get: APICall(.read, members)])
        for what in CampaignControl.allCases {
            routes.add(
                "/v1/campaigns/:id/\(what.rawValue)", [.post: APICall(.manage) { try await control(what, $1) }])
        }
    }

    /// What it would work on, by integration and state; changes nothing.
    @Sendable private func preview(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["action", "selection"]
            let action: String
            let selection: JSONObject
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        return Reply(
            body: try await Campaigns.preview(
                CampaignOrder(action: body.action, selection: body.selection.bytes),
                environmentID: try context.authenticated().environment.id, in: services.pool))
    }

    @Sendable private func start(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["action", "selection", "rate", "key", "note"]
            let action: String
            let selection: JSONObject
            let rate: String?
            let key: String?
            let note: String?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let order = CampaignOrder(
            action: body.action, selection: body.selection.bytes, rate: body.rate, key: body.key, note: body.note)
        return Reply(
            status: .created,
            body: try await Campaigns.start(
                order, environmentID: try context.authenticated().environment.id, actor: context.actor,
                in: services.pool))
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["at_work", "limit", "cursor"])
        let most = try query.integer("limit", 1...200, default: 50)
        guard [nil, "true", "false"].contains(query["at_work"]) else {
            throw HTTPProblem.invalid("at_work", "is not true or false")
        }
        let rows = try await Campaigns.list(
            environmentID: try context.authenticated().environment.id, before: try Cursor.parse(query["cursor"]),
            limit: most, onlyAtWork: query["at_work"] == "true", in: services.pool)
        return .page(rows.map(\.document), next: rows.count == most ? rows.last.map { Cursor.text($0.id) } : nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let document = try await Campaigns.find(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                in: services.pool)
        else { throw HTTPProblem.missing("campaign") }
        return Reply(body: document)
    }

    @Sendable private func members(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["outcome", "limit", "cursor"])
        let most = try query.integer("limit", 1...1000, default: 100)
        let outcome = try query.word("outcome", CampaignOutcome.self)
        guard
            let rows = try await Campaigns.members(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                outcomes: outcome.map { [$0] } ?? CampaignOutcome.allCases,
                after: try Cursor.parse(query["cursor"]) ?? 0, limit: most, in: services.pool)
        else { throw HTTPProblem.missing("campaign") }
        return .page(
            try rows.map { try JSONCoding.encode(CampaignMemberBody($0)) },
            next: rows.count == most ? rows.last.map { Cursor.text($0.place) } : nil)
    }

    private func control(_ what: CampaignControl, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let document = try await Campaigns.control(
                what, uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                actor: context.actor, in: services.pool)
        else { throw HTTPProblem.missing("campaign") }
        return Reply(body: document)
    }
}

struct CampaignMemberBody: Encodable {
    let place: Int64
    let subject: String
    let id: String?
    let integration: String?
    let identity: String?
    let outcome: String
    let detail: String?
    let ended_at: Date?

    init(_ member: CampaignMemberRecord) {
        place = member.place
        subject = member.subject
        id = member.publicID
        integration = member.integration
        identity = member.identity
        outcome = member.outcome.rawValue
        detail = member.detail
        ended_at = member.endedAt
    }
}
