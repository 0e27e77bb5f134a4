import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Store

/// `DELETE /v1/identities/{type}/{identity}`: erases everything that belongs to an identity.
struct ErasuresController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/identities/:type/:identity", [.delete: APICall(.manage, erase)])
        routes.add("/v1/erasures/:id", [.get: APICall(.read, show)])
    }

    /// Unusable at once; erased when the revocations are proven.
    @Sendable private func erase(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let identity = try Identity(
            type: try IdentityType(parsing: try context.decodedParameter("type")),
            value: try context.decodedParameter("identity"))
        let erasure = try await IdentityErasure(services.lifecycle).request(
            identity, environmentID: try context.authenticated().environment.id, actor: context.actor)
        return try .json(ErasureBody(erasure), status: .accepted)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let found = try await Erasures.find(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                in: services.pool)
        else { throw HTTPProblem.missing("erasure") }
        return try .json(ErasureBody(found))
    }
}

struct ErasureBody: Encodable {
    let id: String
    let state: String
    let connections: Int64
    let requested_at: Date
    let erased_at: Date?

    init(_ erasure: Erasure) {
        id = erasure.uid
        state = erasure.erasedAt == nil ? "erasing" : "erased"
        connections = erasure.connections
        requested_at = erasure.requestedAt
        erased_at = erasure.erasedAt
    }
}
