import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Store

/// `/v1/connections`: list, show, rename, tag, delete, refresh, validate, reconnect, replace a key, events.
struct ConnectionsController {
    let services: FrontServices
    let sessions: SessionsController
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/connections", [.get: APICall(.read, list)])
        routes.add(
            "/v1/connections/:id",
            [.get: APICall(.read, show), .patch: APICall(.manage, patch), .delete: APICall(.manage, delete)])
        routes.add("/v1/connections/:id/refresh", [.post: APICall(.manage, refresh)])
        routes.add("/v1/connections/:id/validate", [.post: APICall(.manage, validate)])
        routes.add("/v1/connections/:id/reconnect", [.post: APICall(.connect, reconnect)])
        routes.add("/v1/connections/:id/credentials", [.put: APICall(.manage, replaceKey)])
        routes.add("/v1/connections/:id/events", [.get: APICall(.read, events)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(
            request,
            allowing: [
                "identity", "identity_type", "integration", "state", "reason", "tag", "name", "key", "limit", "cursor",
            ])
        var filter = ConnectionFilter(
            environmentID: try context.authenticated().environment.id,
            limit: try query.integer("limit", 1...200, default: 50))
        filter.identity = query["identity"]
        filter.identityType = try query["identity_type"].map { text throws(InvalidValue) in
            try IdentityType(parsing: text)
        }
        filter.integration = query["integration"]
        filter.state = try query.word("state", ConnectionState.self)
        filter.reason = try query.word("reason", ConnectionReason.self)
        filter.tag = query["tag"]
        filter.name = query["name"]
        if let key = query["key"] { filter.uid = UUID(hex: try ConnectionKey(parsing: key).token) }
        filter.after = try Cursor.parse(query["cursor"])
        let page = try await Connections.list(filter, in: services.pool)
        let next = page.rows.count == filter.limit ? page.rows.last.map { Cursor.text($0.id) } : nil
        return .page(page.rows.map(\.document), next: next, total: page.total)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        .connection(try await find(context))
    }

    @Sendable private func patch(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["name", "tags", "metadata"]
            let name: String?
            let tags: [String]?
            let metadata: JSONObject?
        }
        let found = try await find(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let changed = try await Connections.patch(
            id: found.id, name: try body.name.map(ConnectionFields.name),
            tags: try body.tags.map(ConnectionFields.tags),
            metadata: try body.metadata.map(ConnectionFields.metadata), in: services.pool)
        guard let changed else { throw HTTPProblem.connectionNotFound }
        return .connection(changed)
    }

    /// Unusable at once; revoked at the provider by a job.
    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let deleted = try await ConnectionRevocation(services.lifecycle).request(
            uid: found.uid, environmentID: found.environmentID, actor: context.actor)
        guard let deleted else { throw HTTPProblem.connectionNotFound }
        return .connection(deleted)
    }

    @Sendable private func refresh(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        _ = try await services.refresher.refreshNow(uid: found.uid, environmentID: found.environmentID)
        // Its own row is lean: without the document.
        return .connection(try await find(context))
    }

    /// Probes the credential now: the answer tells what was found, and the connection as it stands after it.
    @Sendable private func validate(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let finding = try await ConnectionValidation(services.lifecycle, refresher: services.refresher)
            .validate(connectionID: found.id)
        let word =
            switch finding {
            case .alive: "alive"
            case .refused: "refused"
            case .trouble: "trouble"
            case .notTested: "not_tested"
            }
        let document = try await find(context).document
        return Reply(body: Array(#"{"finding":"\#(word)","connection":"#.utf8) + document + Array("}".utf8))
    }

    /// A session that renews this connection in place: what the app mints when its user clicks "reconnect".
    @Sendable private func reconnect(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["kind", "redirect_url", "require_finish", "allow_other_account", "expires_in"]
            let kind: String?
            let redirect_url: String?
            let require_finish: Bool?
            let allow_other_account: Bool?
            let expires_in: Int?
        }
        let found = try await find(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        var wanted = SessionRequest(identity: found.identity)
        wanted.connection = found.uid
        wanted.kind = try SessionFields.kind(body.kind)
        wanted.redirectURL = body.redirect_url
        wanted.requiresFinish = body.require_finish
        wanted.allowsOtherAccount = body.allow_other_account ?? false
        wanted.life = body.expires_in.map { .seconds($0) }
        return try await sessions.mint(wanted, context)
    }

    @Sendable private func replaceKey(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["fields", "allow_other_account"]
            let fields: [String: String]
            let allow_other_account: Bool?
        }
        let found = try await find(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let changed = try await services.connect.replaceKey(
            of: found.uid, environmentID: found.environmentID, form: body.fields,
            allowsOtherAccount: body.allow_other_account ?? false, actor: context.actor)
        return .connection(changed)
    }

    @Sendable private func events(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["limit"])
        let found = try await find(context)
        let rows = try await Events.list(
            connectionID: found.id, limit: try query.integer("limit", 1...1000, default: 100), in: services.pool)
        return .page(rows.map(\.document), next: nil)
    }

    private func find(_ context: FrontRequestContext) async throws -> ConnectionRecord {
        guard let uid = ConnectionRecord.uid(publicID: try context.parameter("id")),
            let found = try await Connections.find(
                uid: uid, environmentID: try context.authenticated().environment.id, in: services.pool)
        else { throw HTTPProblem.connectionNotFound }
        return found
    }
}
