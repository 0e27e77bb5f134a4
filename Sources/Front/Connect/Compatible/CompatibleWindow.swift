import Foundation
import HTTPTypes
import Hummingbird
import Store

/// `/e/{environment}?data=…`: the window as the public AuthKit packages open it, where their `baseUrl` is
/// `https://…/e/{environment}`.
///
/// The query holds the app's own credentials for its token endpoint. It is not read here, not logged, not passed on, and
/// the frame's script takes it out of the address at once. Off until the operator has listed the app's token endpoint and
/// pages: the query names where the identity comes from.
struct CompatibleWindow {
    let services: FrontServices
    let renderer: PageRenderer

    func addRoutes(to router: Router<FrontRequestContext>) {
        router.get("/e/:environment", use: window)
        router.refuseOtherMethods("/e/:environment", [.get])
    }

    @Sendable private func window(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        guard
            let environment = try await Environments.find(
                reference: try context.parameter("environment"), in: services.pool)
        else { throw HTTPProblem.notFound }
        guard !environment.tokenEndpoints.isEmpty, !environment.embeddingOrigins.isEmpty else {
            throw HTTPProblem(
                .notFound, "compatible_window_off", "This environment has no window for AuthKit packages.",
                hint: "list token_endpoints and embedding_origins with PATCH /v1/environment")
        }
        let endpoints = environment.tokenEndpoints
        let origins = Set(endpoints.compactMap { Self.origin($0) }).sorted()
        var response = WindowFrame(environment: environment, language: Languages.choose(request)).response(
            renderer, template: "frame", ancestors: environment.embeddingOrigins, connects: origins,
            more: ["compatible": ["endpoints": endpoints.joined(separator: " ")]])
        // The app's own image, from where the app is.
        let images = Set(origins + environment.embeddingOrigins).sorted().joined(separator: " ")
        response.headers[.contentSecurityPolicy] = response.headers[.contentSecurityPolicy]?
            .replacing("img-src 'self'", with: "img-src 'self' \(images)")
        return response
    }

    private static func origin(_ url: String) -> String? {
        guard let parts = URLComponents(string: url), let scheme = parts.scheme, let host = parts.encodedHost else {
            return nil
        }
        return "\(scheme)://\(host)\(parts.port.map { ":\($0)" } ?? "")"
    }
}
