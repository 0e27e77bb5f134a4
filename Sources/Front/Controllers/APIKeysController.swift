import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Postgres
import Store
import Vault

/// `/v1/api-keys`: of the key's own environment. A key gives out no permission it lacks.
struct APIKeysController {
    let services: FrontServices
    let authenticator: KeyAuthenticator
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/api-keys", [.get: APICall(.administer, list), .post: APICall(.administer, create)])
        routes.add("/v1/api-keys/:id", [.delete: APICall(.administer, revoke)])
        routes.add("/v1/api-keys/:id/rotate", [.post: APICall(.administer, rotate)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let keys = try await APIKeys.list(environmentID: try context.authenticated().environment.id, in: services.pool)
        return try .page(keys.map { try JSONCoding.encode(APIKeyBody($0)) }, next: nil)
    }

    @Sendable private func create(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["name", "role", "expires_at"]
            let name: String?
            let role: String?
            let expires_at: Date?
        }
        let key = try context.authenticated()
        let body = try await request.fields(Body.self, limit: bodyLimit)
        guard let role = APIKeyRole(rawValue: body.role ?? APIKeyRole.full.rawValue) else {
            throw HTTPProblem.invalid(
                "role", "is not one of \(APIKeyRole.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        try allow(role, by: key)
        if let end = body.expires_at, end <= Date() { throw HTTPProblem.invalid("expires_at", "has passed") }
        let draft = APIKeyDraft(mode: key.environment.mode)
        let made = try await services.pool.transaction { db in
            let made = try await APIKeys.insert(
                draft, environmentID: key.environment.id, name: String((body.name ?? "").prefix(100)), role: role,
                expiresAt: body.expires_at, in: db)
            try await audit("create_api_key", context, in: db)
            return made
        }
        return try .json(APIKeyBody(made, key: draft.text.revealedText()), status: .created, holdsSecret: true)
    }

    /// A second key of the same name and role; the old one ends after the overlap.
    @Sendable private func rotate(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["overlap_seconds"]
            let overlap_seconds: Int?
        }
        let key = try context.authenticated()
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let overlap = body.overlap_seconds ?? 86_400
        guard (0...30 * 86_400).contains(overlap) else {
            throw HTTPProblem.invalid("overlap_seconds", "is not 0 to \(30 * 86_400)")
        }
        let id = try context.parameter("id")
        let draft = APIKeyDraft(mode: key.environment.mode)
        let made = try await services.pool.transaction { db in
            guard
                let old = try await APIKeys.expire(
                    uid: id, environmentID: key.environment.id, after: .seconds(overlap), in: db)
            else { throw HTTPProblem.missing("API key") }
            try allow(old.role, by: key)
            let made = try await APIKeys.insert(
                draft, environmentID: key.environment.id, name: old.name, role: old.role, expiresAt: nil, in: db)
            try await audit("rotate_api_key", context, in: db)
            return made
        }
        authenticator.forget()
        return try .json(APIKeyBody(made, key: draft.text.revealedText()), status: .created, holdsSecret: true)
    }

    @Sendable private func revoke(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let key = try context.authenticated()
        let id = try context.parameter("id")
        let ended = try await services.pool.transaction { db in
            let ended = try await APIKeys.expire(uid: id, environmentID: key.environment.id, after: .zero, in: db)
            try await audit("revoke_api_key", context, in: db)
            return ended
        }
        guard let ended else { throw HTTPProblem.missing("API key") }
        authenticator.forget()
        return try .json(APIKeyBody(ended))
    }

    private func allow(_ role: APIKeyRole, by key: AuthenticatedKey) throws(HTTPProblem) {
        guard role.permissions.isSubset(of: key.role.permissions) else {
            throw HTTPProblem(
                .forbidden, "forbidden",
                "A key of role \(key.role.rawValue) gives out no key of role \(role.rawValue).",
                hint: "use a key of role full")
        }
    }
}

extension APIKeysController {
    private func audit(
        _ action: String, _ context: FrontRequestContext, in db: any PostgresQuerying
    ) async throws {
        try await Audit.record(
            environmentID: try context.authenticated().environment.id, actor: context.actor, action: action,
            connectionID: nil, in: db)
    }
}

struct APIKeyBody: Encodable {
    let id: String
    let name: String
    let role: String
    let prefix: String
    let last_four: String
    /// Only in the answer that makes the key.
    let key: String?
    let created_at: Date
    let expires_at: Date?
    let revoked_at: Date?

    init(_ record: APIKeyRecord, key: String? = nil) {
        id = record.uid
        name = record.name
        role = record.role.rawValue
        prefix = record.prefix
        last_four = record.lastFour
        self.key = key
        created_at = record.createdAt
        expires_at = record.expiresAt
        revoked_at = record.revokedAt
    }
}
