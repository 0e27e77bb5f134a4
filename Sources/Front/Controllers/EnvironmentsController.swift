import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Postgres
import Store
import Vault

/// `/v1/environment` (the key's own), `/v1/environments` (those of its mode, for operators), `/v1/api-keys`.
struct EnvironmentsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/environment", [.get: APICall(.read, show), .patch: APICall(.configure, patch)])
        routes.add("/v1/environments", [.get: APICall(.administer, list), .post: APICall(.administer, create)])
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(EnvironmentBody(try await own(context)))
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let key = try context.authenticated()
        // A `full` key sees its own environment; operators see those of their mode. Test never sees live.
        let all = try await Environments.list(mode: key.environment.mode, in: services.pool)
        let seen = key.role == .operate ? all : all.filter { $0.id == key.environment.id }
        return try .page(seen.map { try JSONCoding.encode(EnvironmentBody($0)) }, next: nil)
    }

    @Sendable private func create(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["name", "mode", "app_name", "redirect_origins", "require_finish"]
            let name: String
            let mode: String?
            let app_name: String?
            let redirect_origins: [String]?
            let require_finish: Bool?
        }
        let key = try context.authenticated()
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let mode = try body.mode.map { text throws(HTTPProblem) in
            guard let mode = Mode(rawValue: text) else { throw .invalid("mode", "is not test or live") }
            return mode
        }
        if let mode, mode != key.environment.mode {
            throw HTTPProblem(
                .forbidden, "forbidden",
                "A \(key.environment.mode.rawValue) key makes no \(mode.rawValue) environment.",
                hint: "use a \(mode.rawValue) key, or the command line")
        }
        guard body.name.wholeMatch(of: /[a-z0-9][a-z0-9-]{0,62}/) != nil else {
            throw HTTPProblem.invalid("name", "is not 1 to 63 of a-z, 0-9 and -")
        }
        let origins = try origins(body.redirect_origins ?? [], field: "redirect_origins")
        let draft = APIKeyDraft(mode: key.environment.mode)
        let made = try await services.pool.transaction { db -> (EnvironmentRecord, APIKeyRecord)? in
            guard
                let environment = try await Environments.insert(
                    name: body.name, mode: key.environment.mode, appName: body.app_name ?? "", redirectOrigins: origins,
                    requireFinish: body.require_finish, in: db)
            else { return nil }
            let first = try await APIKeys.insert(
                draft, environmentID: environment.id, name: "first", role: key.role, expiresAt: nil, in: db)
            try await Audit.record(
                environmentID: environment.id, actor: context.actor, action: "create_environment", connectionID: nil,
                in: db)
            return (environment, first)
        }
        guard let (environment, first) = made else {
            throw HTTPProblem(.conflict, "name_taken", "There is an environment of this name.", hint: "choose another")
        }
        struct Made: Encodable {
            let environment: EnvironmentBody
            let api_key: APIKeyBody
        }
        return try .json(
            Made(
                environment: EnvironmentBody(environment), api_key: APIKeyBody(first, key: draft.text.revealedText())),
            status: .created, holdsSecret: true)
    }

    @Sendable private func patch(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = [
                "app_name", "redirect_origins", "embedding_origins", "require_finish", "token_endpoints", "branding",
            ]
            let app_name: String?
            let redirect_origins: [String]?
            let embedding_origins: [String]?
            let token_endpoints: [String]?
            let branding: BrandingFields?
            let require_finish: Bool??

            init(from decoder: any Decoder) throws {
                let values = try decoder.container(keyedBy: CodingKeys.self)
                app_name = try values.decodeIfPresent(String.self, forKey: .app_name)
                redirect_origins = try values.decodeIfPresent([String].self, forKey: .redirect_origins)
                embedding_origins = try values.decodeIfPresent([String].self, forKey: .embedding_origins)
                token_endpoints = try values.decodeIfPresent([String].self, forKey: .token_endpoints)
                branding = try values.decodeIfPresent(BrandingFields.self, forKey: .branding)
                require_finish =
                    values.contains(.require_finish)
                    ? .some(try values.decodeIfPresent(Bool.self, forKey: .require_finish)) : nil
            }

            enum CodingKeys: String, CodingKey {
                case app_name, redirect_origins, embedding_origins, require_finish, token_endpoints, branding
            }
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        guard body.app_name?.count ?? 0 <= 80 else {
            throw HTTPProblem.invalid("app_name", "is longer than 80 characters")
        }
        let changed = try await Environments.patch(
            id: try context.authenticated().environment.id, appName: body.app_name,
            embeddingOrigins: try body.embedding_origins.map { try origins($0, field: "embedding_origins") },
            redirectOrigins: try body.redirect_origins.map { try origins($0, field: "redirect_origins") },
            requireFinish: body.require_finish, branding: try body.branding?.checked(),
            tokenEndpoints: try body.token_endpoints.map(endpoints), in: services.pool)
        guard let changed else { throw HTTPProblem.missing("environment") }
        return try .json(EnvironmentBody(changed))
    }

    private func own(_ context: FrontRequestContext) async throws -> EnvironmentRecord {
        guard
            let own = try await Environments.find(id: try context.authenticated().environment.id, in: services.pool)
        else { throw HTTPProblem.missing("environment") }
        return own
    }

    /// Whole URLs without query: what the window compares with.
    private func endpoints(_ texts: [String]) throws -> [String] {
        guard texts.count <= 20 else { throw HTTPProblem.invalid("token_endpoints", "has more than 20 entries") }
        return try texts.map { text in
            _ = try WebOrigin(of: text, item: "token_endpoints")
            guard text.utf8.count <= 500, !text.contains("?"), !text.contains("#"), !text.contains(" "),
                !text.contains(where: { $0 == ";" || $0 == "," })
            else {
                throw HTTPProblem.invalid(
                    "token_endpoints", "holds a URL with a query, a fragment or odd characters, or of over 500 bytes")
            }
            return text
        }
    }

    private func origins(_ texts: [String], field: String) throws -> [String] {
        guard texts.count <= 50 else { throw HTTPProblem.invalid(field, "has more than 50 entries") }
        return try texts.map { try WebOrigin(parsing: $0, item: field).description }
    }
}

struct EnvironmentBody: Encodable {
    let id: String
    let name: String
    let mode: String
    let app_name: String
    let redirect_origins: [String]
    let embedding_origins: [String]
    let require_finish: Bool?
    let token_endpoints: [String]
    let branding: BrandingFields
    let created_at: Date

    init(_ record: EnvironmentRecord) {
        id = record.uid
        name = record.name
        mode = record.mode.rawValue
        app_name = record.appName
        redirect_origins = record.redirectOrigins
        embedding_origins = record.embeddingOrigins
        require_finish = record.requireFinish
        token_endpoints = record.tokenEndpoints
        branding = BrandingFields(record.branding)
        created_at = record.createdAt
    }
}
