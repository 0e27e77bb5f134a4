import HTTPTypes
import Hummingbird
import Lifecycle
import NIOCore

/// `POST /inbound/{environment}/{integration}`, and Pipedrive's `DELETE` on the callback URL: signals of providers about
/// ended grants. No API key: the provider's signature is the proof, and whatever it does not prove is answered as if
/// nothing were here.
struct InboundController {
    /// Slack, GitHub and Shopify stay far below it with what is understood here.
    static let bodyLimit = 262_144

    let services: FrontServices

    func addRoutes(to router: Router<FrontRequestContext>) {
        router.post("/inbound/:environment/:integration", use: receive)
        router.refuseOtherMethods("/inbound/:environment/:integration", [.post])
    }

    @Sendable private func receive(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let environment = try context.parameter("environment")
        let integration = try context.parameter("integration")
        let headers = request.headers
        let body = try await body(of: request)
        let outcome = try await InboundSignals(services.lifecycle).receive(
            environment: environment, integration: integration,
            header: { name in HTTPField.Name(name).flatMap { headers[$0] } }, body: body)
        return try answer(outcome)
    }

    /// `DELETE /oauth/callback/{integration}`.
    @Sendable func deleted(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let integration = try context.parameter("integration")
        let authorization = request.headers[.authorization]
        let outcome = try await InboundSignals(services.lifecycle).receiveDeletion(
            integration: integration, authorization: authorization, body: try await body(of: request))
        return try answer(outcome)
    }

    private func body(of request: Request) async throws -> [UInt8] {
        if let announced = request.headers[.contentLength].flatMap({ Int($0) }), announced > Self.bodyLimit {
            throw HTTPProblem.bodyTooLarge(limit: Self.bodyLimit)
        }
        return Array(buffer: try await request.body.collect(upTo: Self.bodyLimit))
    }

    private func answer(_ outcome: InboundSignals.Outcome) throws -> Response {
        switch outcome {
        case .taken, .repeated: return Response(status: .accepted)
        case .challenge(let text):
            return Response(
                status: .ok, headers: [.contentType: "text/plain; charset=utf-8", .xContentTypeOptions: "nosniff"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        case .notFound: throw HTTPProblem.notFound
        }
    }
}
