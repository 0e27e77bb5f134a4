import Catalog
import Connect
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Postgres
import Store
import Vault

/// `PUT` and `DELETE` of `/v1/environment/logo` and `/v1/integrations/{id}/logo`: the operator's own images.
struct LogosController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        let calls: [HTTPRequest.Method: APICall] = [
            .put: APICall(.configure, put), .delete: APICall(.configure, delete),
        ]
        routes.add("/v1/environment/logo", calls)
        routes.add("/v1/integrations/:id/logo", calls)
    }

    @Sendable private func put(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let integration = try known(context)
        guard request.headers[.contentType]?.lowercased().hasPrefix("image/png") == true else {
            throw HTTPProblem(
                .unsupportedMediaType, "unsupported_media_type", "The body is not announced as a PNG.",
                hint: "send the file itself, Content-Type: image/png")
        }
        let file = Array((try await request.body.collect(upTo: PortableImage.largestFile + 1)).readableBytesView)
        let image = try PortableImage(file)
        let key = try context.authenticated()
        guard let environment = try await Environments.find(id: key.environment.id, in: services.pool) else {
            throw HTTPProblem.missing("environment")
        }
        let logo = LogoRecord(
            integration: integration, mediaType: "image/png", digest: Digest.sha256(image.bytes), bytes: image.bytes)
        try await services.pool.transaction { db in
            try await Logos.put(environmentID: environment.id, logo, in: db)
            try await Audit.record(
                environmentID: environment.id, actor: context.actor, action: "put_logo", connectionID: nil, in: db)
        }
        struct Stored: Encodable {
            let url: String
            let bytes: Int
        }
        return try .json(
            Stored(url: LogoRoutes.path(environment, integration, logo.digest), bytes: image.bytes.count))
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let integration = try known(context)
        guard
            try await Logos.delete(
                environmentID: try context.authenticated().environment.id, integration: integration, in: services.pool)
        else { throw HTTPProblem.missing("logo") }
        return .empty
    }

    /// The integration of the path; empty for the app's own.
    private func known(_ context: FrontRequestContext) throws -> String {
        guard let id = context.parameters.get("id") else { return "" }
        guard services.catalog.integration(id) != nil else { throw ConnectError(.unknownIntegration) }
        return id
    }
}
