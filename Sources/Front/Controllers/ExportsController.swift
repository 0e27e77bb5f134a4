import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Logging
import NIOCore
import Store
import Vault

/// `POST /v1/exports`: living grants as an encrypted file. Only keys of role `full` may.
struct ExportsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        var call = APICall(.export, export)
        call.streams = true
        routes.add("/v1/exports", [.post: call])
    }

    private struct Body: RequestFields {
        static let fields = ["recipients", "integration", "identity", "identity_type", "state", "tag"]
        let recipients: [String]
        let integration: String?
        let identity: String?
        let identity_type: String?
        let state: String?
        let tag: String?
    }

    /// Streams; a file that ends early does not open, since the format marks its end.
    @Sendable private func export(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let recipients = try body.recipients.map { text throws(InvalidValue) in try AgeRecipient(parsing: text) }
        guard (1...20).contains(recipients.count) else {
            throw HTTPProblem.invalid("recipients", "is not 1 to 20 keys")
        }
        var selection = ExportSelection()
        selection.integration = body.integration
        selection.identity = body.identity
        selection.tag = body.tag
        selection.identityType = try body.identity_type.map { text throws(InvalidValue) in
            try IdentityType(parsing: text)
        }
        if let state = body.state {
            guard let known = ConnectionState(rawValue: state) else {
                throw HTTPProblem.invalid("state", "is no state")
            }
            selection.state = known
        }
        let chosen = selection
        let (environment, actor) = (try context.authenticated().environment.id, context.actor)
        let (export, logger) = (GrantExport(services.lifecycle), services.logger)
        var reply = Reply()
        reply.headers[.contentDisposition] = "attachment; filename=\"evergrant-export.ndjson.age\""
        reply.stream = ResponseBody { writer in
            do {
                _ = try await export.run(
                    chosen, recipients: recipients, environmentID: environment, actor: actor
                ) { try await writer.write(ByteBuffer(bytes: $0)) }
                try await writer.finish(nil)
            } catch {
                logger.error("an export was cut", metadata: ["error": "\(error)"])
                throw error
            }
        }
        return reply
    }
}
