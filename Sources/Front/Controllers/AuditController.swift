import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Store
import Vault

/// `/v1/audit`: every use of a secret, who and why.
struct AuditController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/audit", [.get: APICall(.read, list)])
        routes.add("/v1/audit/head", [.get: APICall(.read, head)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(
            request, allowing: ["connection", "action", "actor", "since", "until", "limit", "cursor"])
        let environmentID = try context.authenticated().environment.id
        var connectionID: Int64?
        if let id = query["connection"] {
            guard let uid = ConnectionRecord.uid(publicID: id),
                let found = try await Connections.find(uid: uid, environmentID: environmentID, in: services.pool)
            else { throw HTTPProblem.connectionNotFound }
            connectionID = found.id
        }
        let limit = try query.integer("limit", 1...1000, default: 100)
        let rows = try await Audit.list(
            environmentID: environmentID, connectionID: connectionID, action: query["action"], actor: query["actor"],
            since: try query.time("since"), until: try query.time("until"), before: try place(query["cursor"]),
            limit: limit, in: services.pool)
        return try .page(
            rows.map { try JSONCoding.encode(AuditBody($0)) },
            next: rows.count == limit
                ? rows.last.map { Encoding.base64url(Array("a1:\($0.xid):\($0.id)".utf8)) } : nil)
    }

    /// The chain's head, to be kept elsewhere.
    @Sendable private func head(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: Encodable {
            let head: String
            let number: Int64
            let sealed_at: Date?
        }
        let environmentID = try context.authenticated().environment.id
        guard let head = try await AuditHead.find(environmentID: environmentID, in: services.pool) else {
            throw HTTPProblem.internalError
        }
        return try .json(Body(head: head.text, number: head.number, sealed_at: head.sealedAt))
    }

    private func place(_ cursor: String?) throws(HTTPProblem) -> (xid: Int64, id: Int64)? {
        guard let cursor, !cursor.isEmpty else { return nil }
        let parts = Encoding.bytes(base64url: cursor).map { String(decoding: $0, as: UTF8.self).split(separator: ":") }
        guard let parts, parts.count == 3, parts[0] == "a1", let xid = Int64(parts[1]), let id = Int64(parts[2]) else {
            throw .invalid("cursor", "is not one that a list answered")
        }
        return (xid, id)
    }
}

struct AuditBody: Encodable {
    let id: Int64
    let at: Date
    let actor: String
    let action: String
    let connection: String?
    let count: Int64
    let details: JSONValue?
    let sealed: Bool

    init(_ record: AuditRecord) throws {
        id = record.id
        at = record.at
        actor = record.actor
        action = record.action
        connection = record.connection
        count = record.count
        details = try record.details.map { try JSONDecoder().decode(JSONValue.self, from: Data($0)) }
        sealed = record.isSealed
    }
}
