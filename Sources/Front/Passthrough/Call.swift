import Catalog
import Credentials
import Egress
import HTTPTypes
import Hummingbird
import Lifecycle
import OAuth
import Store

/// One passthrough call, ready to be sent with one credential or, after a refresh, another.
struct Call {
    let method: String
    let fields: HTTPFields
    let target: PassthroughTarget
    let body: CallerBody
    let integration: Integration
    let app: OAuthApp?

    init(
        _ request: Request, _ target: PassthroughTarget, _ credential: UsableCredential, body: CallerBody,
        _ services: FrontServices
    ) async throws {
        guard let integration = services.catalog.integration(credential.connection.integration) else {
            throw HTTPProblem(
                .conflict, "unknown_integration", "The catalog no longer has this connection's integration.",
                hint: "restore its file, or delete the connection")
        }
        method = request.method.rawValue
        fields = request.headers
        self.target = target
        self.body = body
        self.integration = integration
        // Only an operator's own host stands with the app: all others need no look-up.
        guard !integration.operatorParameters.isEmpty, let id = credential.connection.oauthAppID,
            let stored = try await OAuthApps.find(id: id, in: services.pool)
        else {
            app = nil
            return
        }
        app = OAuthApp(
            clientID: stored.clientID, clientSecret: nil, redirectURI: "",
            parameters: try OAuthAppSettings(stored.parameters).parameters)
    }

    func request(_ credential: UsableCredential) throws -> EgressRequest {
        guard integration.apiBase != nil else {
            throw HTTPProblem(
                .conflict, "no_api", "\(integration.title) has no API base in the catalog.",
                hint: "add api_base to its file")
        }
        let endpoint = try integration.endpoint(tokens: credential.tokens, app: app)
        let placed = integration.placement.apply(credential.tokens)
        let url = try target.url(
            base: endpoint.base, withoutQuery: integration.placement.queryNames, adding: placed.query)
        let headers = HeaderPolicy.up(
            fields, integration: integration,
            fixed: try integration.defaultHeaders(tokens: credential.tokens, app: app),
            credential: placed.headers)
        var request = EgressRequest(
            method: method, url: url, headers: headers, body: body.body, policy: endpoint.policy)
        request.allowsPlainHTTP = endpoint.allowsPlainHTTP
        request.retriesIdempotent = body.canBeSentAgain
        return request
    }

    /// Texts of the credential that a provider might echo in a header.
    func secrets(of credential: UsableCredential) -> [String] {
        ([credential.tokens.accessToken, credential.tokens.refreshToken].compactMap { $0 }
            + credential.tokens.furtherTokens.values).map { $0.revealedText() }.filter { $0.utf8.count >= 8 }
    }
}
