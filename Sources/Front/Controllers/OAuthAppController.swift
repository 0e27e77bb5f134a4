import Catalog
import Credentials
import Foundation
import Hummingbird
import Lifecycle
import Store

/// `/v1/integrations/{id}/oauth-app`: the client secrets of an integration's OAuth app, never their text.
struct OAuthAppController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add(
            "/v1/integrations/:id/oauth-app", [.get: APICall(.read, show), .put: APICall(.configure, putNext)])
        routes.add("/v1/integrations/:id/oauth-app/promote", [.post: APICall(.configure, promote)])
        routes.add("/v1/integrations/:id/oauth-app/retire", [.post: APICall(.configure, retire)])
    }

    private var rotation: ClientSecretRotation { ClientSecretRotation(services.lifecycle) }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try answer(try await app(context))
    }

    @Sendable private func putNext(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["next_client_secret"]
            let next_client_secret: String
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        return try answer(
            try await rotation.setNext(
                Secret(body.next_client_secret), app: try await app(context), actor: context.actor))
    }

    @Sendable private func promote(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try answer(try await rotation.promote(app: try await app(context), actor: context.actor))
    }

    @Sendable private func retire(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try answer(try await rotation.retire(app: try await app(context), actor: context.actor))
    }

    private func app(_ context: FrontRequestContext) async throws -> OAuthAppRecord {
        try await rotation.app(
            integration: try services.catalog.integration(named: try context.parameter("id")),
            environmentID: try context.authenticated().environment.id)
    }

    private func answer(_ app: OAuthAppRecord) throws -> Reply {
        try .json(OAuthAppBody(app, warnings: rotation.warnings(app)))
    }
}

struct OAuthAppBody: Encodable {
    struct Version: Encodable {
        let role: String
        let version: Int64
        /// Whether it is tried first.
        let first: Bool
    }

    let id: String
    let provider: String
    let client_id: String
    let secrets: [Version]
    let suspended_at: Date?
    let warnings: [String]

    init(_ app: OAuthAppRecord, warnings: [String]) {
        id = app.uid
        provider = app.provider
        client_id = app.clientID
        suspended_at = app.suspendedAt
        self.warnings = warnings
        let otherIsFirst = app.other != nil && app.other?.version == app.workingVersion
        var secrets: [Version] = []
        if app.clientSecret != nil {
            secrets.append(Version(role: "current", version: app.secretVersion, first: !otherIsFirst))
        }
        if let other = app.other {
            secrets.append(Version(role: other.role.rawValue, version: other.version, first: otherIsFirst))
        }
        self.secrets = secrets
    }
}
