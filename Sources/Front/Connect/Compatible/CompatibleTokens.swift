import Catalog
import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Store

/// What an app's backend calls by the public packages `authkit-token`: `GET /v1/users/flags`, `POST /v1/authkit` and its
/// later name `POST /v1/authkit/token`. Fields are taken in both spellings, answers have both.
struct CompatibleTokens {
    let services: FrontServices
    let publicURL: String
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/users/flags", [.get: APICall(.connect, flags)], takesSecretHeader: true)
        routes.add(
            "/v1/authkit", [.post: APICall(.connect) { try await page($0, $1, usual: 100) }], takesSecretHeader: true)
        routes.add(
            "/v1/authkit/token", [.post: APICall(.connect) { try await page($0, $1, usual: 20) }],
            takesSecretHeader: true)
    }

    /// Whether the window is the app's alone: its footer was taken away.
    @Sendable private func flags(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Flags: Encodable { let authkitWhitelist: Bool }
        let environment = try await environment(context)
        return try .json(Flags(authkitWhitelist: environment.branding.footer == ""))
    }

    private func page(_ request: Request, _ context: FrontRequestContext, usual: Int) async throws -> Reply {
        let query = FormText.fields(request.uri.query ?? "")
        let limit = min(150, max(1, query["limit"].flatMap { Int($0) } ?? usual))
        let page = max(1, query["page"].flatMap { Int($0) } ?? 1)
        let environment = try await environment(context)
        let asked = try Asked(try await request.body.collect(upTo: bodyLimit))
        let offers = try await services.connect.offers(of: environment).filter(\.isReady)
        let (before, isBeyond) = (page - 1).multipliedReportingOverflow(by: limit)
        let shown = isBeyond ? [] : Array(offers.dropFirst(before).prefix(limit))
        let ticket = try await services.connect.ticket(
            for: asked.identity, name: asked.name, tags: asked.tags, environmentID: environment.id,
            actor: context.actor)
        struct Answer: Encodable {
            let rows: [Row]
            let page: Int
            let pages: Int
            let total: Int
            let limit: Int
            let skip: Int
            let requestId: String
            let request_id: String
        }
        return try .json(
            Answer(
                rows: shown.map { Row($0, environment: environment, publicURL: publicURL) }, page: page,
                pages: max(1, (offers.count + limit - 1) / limit), total: offers.count, limit: limit,
                skip: isBeyond ? 0 : before,
                requestId: ticket.revealedText(), request_id: ticket.revealedText()),
            holdsSecret: true)
    }

    private func environment(_ context: FrontRequestContext) async throws -> EnvironmentRecord {
        guard
            let found = try await Environments.find(id: try context.authenticated().environment.id, in: services.pool)
        else { throw HTTPProblem.missing("environment") }
        return found
    }
}

extension CompatibleTokens {
    /// The body, in either spelling; `group` is the old name of `identity`. Other fields are ignored, as there.
    private struct Asked {
        let identity: Identity
        let name: String
        let tags: [String]

        init(_ body: ByteBuffer) throws {
            let data = Data(body.readableBytesView)
            guard let given = data.isEmpty ? [:] : try? JSONDecoder().decode([String: JSONValue].self, from: data)
            else {
                throw HTTPProblem(.badRequest, "invalid_json", "The body is not a JSON object.", hint: "send {…}")
            }
            func text(_ names: String...) throws(HTTPProblem) -> String? {
                for name in names {
                    switch given[name] {
                    case nil, .null?: continue
                    case .string(let value)?: return value.isEmpty ? nil : value
                    default: throw .invalid(name, "is not a string")
                    }
                }
                return nil
            }
            let type = try IdentityType(parsing: try text("identityType", "identity_type") ?? "user")
            identity = try Identity(
                type: type, value: try text("identity", "group") ?? UUID().uuidString.lowercased())
            name = try ConnectionFields.name(try text("name", "label") ?? "")
            guard case .array(let list)? = given["tags"] else {
                tags = []
                return
            }
            tags = try ConnectionFields.tags(
                list.compactMap { if case .string(let tag) = $0 { tag } else { nil } })
        }
    }

    /// One integration, as those packages show it.
    private struct Row: Encodable {
        let id: String
        let connectionDefId: String
        let type: String
        let title: String
        let image: String
        let activatedAt: Int64
        let secretId: String
        let clientIdDisplay: String
        /// Never a real one.
        let clientSecretDisplay: String
        let scopes: String
        let environment: String
        let guide: String
        let createdAt: Int64
        let tags: [String]
        let active: Bool
        let useDefaultOauthCreds: Bool

        init(_ offer: OfferedIntegration, environment: EnvironmentRecord, publicURL: String) {
            id = offer.integration.id
            connectionDefId = offer.integration.id
            type = offer.integration.id
            title = offer.title
            image = "\(publicURL)/assets/logo/\(offer.integration.id).svg"
            let time = Int64(offer.settings.updatedAt.timeIntervalSince1970 * 1000)
            activatedAt = time
            createdAt = time
            secretId = ""
            clientIdDisplay = ""
            clientSecretDisplay = ""
            scopes = (offer.settings.scopes ?? offer.integration.scopes).joined(separator: " ")
            self.environment = environment.mode.rawValue
            guide = offer.guide
            tags = [offer.integration.category]
            active = true
            useDefaultOauthCreds = false
        }
    }
}
