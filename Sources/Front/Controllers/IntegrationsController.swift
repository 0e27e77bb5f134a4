import Catalog
import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store

/// `/v1/integrations`: the catalog, and what this environment has made of it.
struct IntegrationsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/integrations", [.get: APICall(.read, list)])
        routes.add("/v1/integrations/:id", [.get: APICall(.read, show), .put: APICall(.configure, put)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["search", "category", "enabled", "limit", "cursor"])
        let enabled: Bool?
        switch query["enabled"] {
        case nil: enabled = nil
        case "true": enabled = true
        case "false": enabled = false
        default: throw HTTPProblem.invalid("enabled", "is not true or false")
        }
        let limit = try query.integer("limit", 1...500, default: 100)
        let start = Int(try Cursor.parse(query["cursor"]) ?? 0)
        let place = try context.authenticated().environment
        let environment = place.id
        let settings = try await settings(environment)
        let apps = try await apps(environment)
        let signing = try await SigningSecrets.apps(environmentID: environment, in: services.pool)
        let found = services.catalog.search(query["search"], category: query["category"]).filter {
            enabled == nil || (settings[$0.id]?.isEnabled ?? false) == enabled
        }
        let page = found.dropFirst(start).prefix(limit)
        let documents = try page.map { integration in
            try JSONCoding.encode(
                body(integration, settings[integration.id], apps, place, signing: signing, detailed: false))
        }
        let next = start + page.count < found.count ? Cursor.text(Int64(start + page.count)) : nil
        return .page(documents, next: next, total: found.count)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let integration = try known(try context.parameter("id"))
        let environment = try context.authenticated().environment
        let own = try await IntegrationSettings.find(
            environmentID: environment.id, integration: integration.id, in: services.pool)
        return try await reply(integration, own, environment)
    }

    @Sendable private func put(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let integration = try known(try context.parameter("id"))
        let body = try await request.fields(IntegrationChange.self, limit: bodyLimit)
        let environment = try context.authenticated().environment
        let setup = IntegrationSetup(services: services, environmentID: environment.id)
        let own = try await setup.apply(body, to: integration, actor: context.actor)
        return try await reply(integration, own, environment)
    }

    private func reply(
        _ integration: Integration, _ own: IntegrationSettingsRecord?, _ environment: EnvironmentReference
    ) async throws -> Reply {
        let signing = try await SigningSecrets.apps(environmentID: environment.id, in: services.pool)
        return try .json(
            body(
                integration, own, try await apps(environment.id), environment, signing: signing, detailed: true))
    }

    private func known(_ id: String) throws -> Integration {
        do throws(InvalidValue) { return try services.catalog.integration(named: id) } catch {
            throw ConnectError(.unknownIntegration, detail: "\(error.item) \(error.problem).", hint: error.repair)
        }
    }

    private func settings(_ environment: Int64) async throws -> [String: IntegrationSettingsRecord] {
        let all = try await IntegrationSettings.list(environmentID: environment, in: services.pool)
        return Dictionary(all.map { ($0.integration, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func apps(_ environment: Int64) async throws -> [Int64: OAuthAppRecord] {
        let all = try await OAuthApps.list(environmentID: environment, in: services.pool)
        return Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func body(
        _ integration: Integration, _ own: IntegrationSettingsRecord?, _ apps: [Int64: OAuthAppRecord],
        _ environment: EnvironmentReference, signing: Set<Int64>, detailed: Bool
    ) -> IntegrationBody {
        let redirect = services.connect.redirectURI(of: integration.id)
        var inbound: (url: String, hasSecret: Bool)?
        if let scheme = services.catalog.provider(of: integration)?.inbound {
            // The public address, as the redirect URI has it.
            let origin = redirect.components(separatedBy: "/oauth/callback/")[0]
            let hasSecret =
                scheme == .slack || scheme == .github ? own?.oauthAppID.map(signing.contains) ?? false : true
            let url =
                scheme == .pipedrive ? redirect : "\(origin)/inbound/\(environment.name)/\(integration.id)"
            inbound = (url, hasSecret)
        }
        return IntegrationBody(
            integration, own, app: own?.oauthAppID.flatMap { apps[$0] }, redirectURI: redirect, inbound: inbound,
            detailed: detailed)
    }
}

struct IntegrationBody: Encodable {
    struct App: Encodable {
        let id: String
        let client_id: String
        /// The secret itself never comes back.
        let has_client_secret: Bool
        let parameters: [String: String]
        let suspended_at: Date?
        let suspended_reason: String?
    }

    struct Field: Encodable {
        let name: String
        let label: String
        let secret: Bool
        let optional: Bool
    }

    let id: String
    let title: String
    let category: String
    let summary: String
    let color: String
    let method: String
    let enabled: Bool
    /// Enabled, and what it needs is there.
    let ready: Bool
    let oauth_app: App?
    let redirect_uri: String?
    let scopes: [String]
    let fields: [Field]?
    let guide: String?
    let setup: String?
    let passthrough: Bool
    /// Where the provider is told to send its signals; nil: it sends none.
    let inbound_url: String?
    let has_signing_secret: Bool?
    /// Seconds between two probes, as set here; nil: the catalog's, else the installation's.
    let validate_every: Int64?

    init(
        _ integration: Integration, _ own: IntegrationSettingsRecord?, app: OAuthAppRecord?, redirectURI: String,
        inbound: (url: String, hasSecret: Bool)?, detailed: Bool
    ) {
        let isOAuth = integration.providerID != nil
        id = integration.id
        title = own?.display.title ?? integration.title
        category = integration.category
        summary = integration.summary
        color = integration.color
        method = isOAuth ? "oauth2" : "api_key"
        enabled = own?.isEnabled ?? false
        ready = (own?.isEnabled ?? false) && (!isOAuth || app != nil)
        oauth_app = app.map {
            App(
                id: $0.uid, client_id: $0.clientID, has_client_secret: $0.clientSecret != nil,
                parameters: $0.parameters, suspended_at: $0.suspendedAt, suspended_reason: $0.suspendedReason)
        }
        redirect_uri = isOAuth ? redirectURI : nil
        scopes = own?.scopes ?? integration.scopes
        fields = detailed ? Self.fields(integration) : nil
        guide = detailed ? own?.display.guide ?? integration.guide : nil
        setup = detailed ? integration.setup : nil
        passthrough = integration.apiBase != nil
        inbound_url = inbound?.url
        has_signing_secret = inbound?.hasSecret
        validate_every = own?.validateSeconds
    }

    private static func fields(_ integration: Integration) -> [Field] {
        var fields = integration.userParameters.map {
            Field(name: $0.name, label: $0.label, secret: false, optional: $0.defaultValue != nil)
        }
        if case .apiKey(let form) = integration.method {
            fields += form.fields.map {
                Field(name: $0.name, label: $0.label, secret: $0.isSecret, optional: $0.isOptional)
            }
        }
        return fields
    }
}
