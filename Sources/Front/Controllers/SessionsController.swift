import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store

/// `/v1/sessions`: the app's backend opens the connect window for one identity, and confirms what came of it.
struct SessionsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/sessions", [.post: APICall(.connect, mint)])
        routes.add("/v1/sessions/:id", [.get: APICall(.read, show)])
        routes.add("/v1/sessions/:id/finish", [.post: APICall(.connect, finish)])
    }

    @Sendable private func mint(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let body = try await request.fields(SessionFields.self, limit: bodyLimit)
        return try await mint(body.request(), context)
    }

    /// Also what `…/connections/{id}/reconnect` does.
    func mint(_ wanted: SessionRequest, _ context: FrontRequestContext) async throws -> Reply {
        let key = try context.authenticated()
        guard let environment = try await Environments.find(id: key.environment.id, in: services.pool) else {
            throw HTTPProblem.missing("environment")
        }
        let minted = try await services.connect.mint(wanted, environment: environment, actor: context.actor)
        struct Minted: Encodable {
            let id: String
            let token: String
            let kind: String
            let environment: String
            let connect_url: String?
            let expires_at: Date
            let require_finish: Bool
        }
        return try .json(
            Minted(
                id: minted.session.uid, token: minted.token.revealedText(), kind: minted.session.kind.rawValue,
                environment: environment.uid, connect_url: minted.connectURL?.revealedText(),
                expires_at: minted.session.expiresAt,
                require_finish: minted.session.requiresFinish),
            status: .created, holdsSecret: true)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let environment = try context.authenticated().environment.id
        guard let session = try await ConnectSessions.find(uid: try context.parameter("id"), in: services.pool),
            session.environmentID == environment
        else { throw HTTPProblem.missing("session") }
        var connection: ConnectionRecord?
        if let id = session.finishedConnectionID { connection = try await Connections.find(id: id, in: services.pool) }
        return try .json(SessionBody(session, connection))
    }

    @Sendable private func finish(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["code", "identity", "identity_type"]
            let code: String
            let identity: String
            let identity_type: String?
        }
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let identity = try Identity(type: IdentityType(parsing: body.identity_type ?? "user"), value: body.identity)
        let connection = try await services.connect.confirm(
            session: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
            code: Secret(body.code), identity: identity, actor: context.actor)
        return .connection(connection)
    }
}

/// The body of `POST /v1/sessions`.
struct SessionFields: RequestFields {
    static let fields = [
        "identity", "identity_type", "kind", "integrations", "connection", "allow_other_account", "name", "tags",
        "metadata",
        "redirect_url", "require_finish", "expires_in",
    ]
    let identity: String
    let identity_type: String?
    /// `link` (the default) or `embedded`.
    let kind: String?
    let integrations: [String]?
    let connection: String?
    let allow_other_account: Bool?
    let name: String?
    let tags: [String]?
    let metadata: JSONObject?
    let redirect_url: String?
    let require_finish: Bool?
    /// Seconds.
    let expires_in: Int?

    static func kind(_ text: String?) throws(HTTPProblem) -> ConnectSessionKind {
        guard let text else { return .link }
        guard let kind = ConnectSessionKind(rawValue: text) else {
            throw .invalid("kind", "is not link or embedded")
        }
        return kind
    }

    func request() throws -> SessionRequest {
        var request = SessionRequest(
            identity: try Identity(type: IdentityType(parsing: identity_type ?? "user"), value: identity))
        request.kind = try Self.kind(kind)
        request.integrations = integrations
        if let connection {
            guard let uid = ConnectionRecord.uid(publicID: connection) else {
                throw HTTPProblem.invalid("connection", "is not an id such as conn_0123…")
            }
            request.connection = uid
        }
        request.allowsOtherAccount = allow_other_account ?? false
        request.name = try ConnectionFields.name(name ?? "")
        request.tags = try ConnectionFields.tags(tags ?? [])
        if let metadata { request.metadata = try ConnectionFields.metadata(metadata) }
        request.redirectURL = redirect_url
        request.requiresFinish = require_finish
        request.life = expires_in.map { .seconds($0) }
        return request
    }
}

struct SessionBody: Encodable {
    let id: String
    let kind: String
    let state: String
    let identity: String
    let identity_type: String
    let integrations: [String]?
    let require_finish: Bool
    let confirmed_at: Date?
    let connection: String?
    let connection_key: String?
    let created_at: Date
    let expires_at: Date

    init(_ session: ConnectSessionRecord, _ connection: ConnectionRecord?) {
        id = session.uid
        kind = session.kind.rawValue
        state = session.state != .finished && session.isExpired ? "expired" : session.state.rawValue
        identity = session.identity.value
        identity_type = session.identity.type.rawValue
        integrations = session.integrations
        require_finish = session.requiresFinish
        confirmed_at = session.confirmedAt
        self.connection = connection?.publicID
        connection_key = connection?.key.description
        created_at = session.createdAt
        expires_at = session.expiresAt
    }
}
