import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Synchronization
import Testing

/// Answers as told and keeps what was sent.
final class ScriptedTransport: OAuthTransport {
    private let outcome: EgressOutcome
    private let sent = Mutex<[EgressRequest]>([])

    init(_ outcome: EgressOutcome) { self.outcome = outcome }

    convenience init(_ status: Int, _ body: String, headers: [(name: String, value: String)] = []) {
        let all = headers + [("Content-Type", "application/json")]
        self.init(.answered(EgressResponse(status: status, headers: EgressHeaders(all), body: Array(body.utf8))))
    }

    func send(_ request: EgressRequest) async -> EgressOutcome {
        sent.withLock { $0.append(request) }
        return outcome
    }

    var requests: [EgressRequest] { sent.withLock { $0 } }
}

extension EgressRequest {
    var text: String { if case .bytes(let bytes) = body { String(decoding: bytes, as: UTF8.self) } else { "" } }

    /// The parameters of a form body.
    var form: [String: String] {
        Dictionary(FormEncoding.decode(text).map { ($0.name, $0.value) }, uniquingKeysWith: { _, last in last })
    }

    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
}

extension ProviderOutcome {
    var success: Success? { if case .success(let value) = self { value } else { nil } }
    var refusal: ProviderRefusal? { if case .refused(let refusal) = self { refusal } else { nil } }
    var ambiguity: ProviderAmbiguity? { if case .ambiguous(let ambiguity) = self { ambiguity } else { nil } }
    var failure: EgressFailure? { if case .notSent(let failure) = self { failure } else { nil } }
}

/// The moment at which the attempts of these tests start: 2026-01-01T00:00:00Z.
let start = Date(timeIntervalSince1970: 1_767_225_600)

let app = OAuthApp(
    clientID: "client-1", clientSecret: Secret("s3cret&:/ ü"), redirectURI: "https://app.example.com/oauth/callback/x")

private let bundled = Result { try IntegrationCatalog(variables: ["sandbox_base": "http://127.0.0.1:7080"]) }

/// The bundled catalog with the sandbox in it, loaded once.
func bundledCatalog() throws -> IntegrationCatalog { try bundled.get() }

/// A provider of which only the endpoints are said, and `more` YAML lines.
func plainProvider(_ more: String = "", top: String = "") throws -> Provider {
    let lines = more.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n")
    let text = """
        \(top)
        providers:
          plain:
            authorization_url: https://auth.example.com/authorize?tenant=1
            token_url: https://auth.example.com/token
        \(lines)
        """
    let catalog = try IntegrationCatalog(sources: [CatalogSource(name: "plain.yaml", text: text)])
    return try #require(catalog.provider("plain"))
}

func refresh(
    _ provider: Provider, _ transport: ScriptedTransport, tokens: TokenSet? = nil, app: OAuthApp = app
) async -> ProviderOutcome<IssuedTokens> {
    let old = tokens ?? TokenSet(accessToken: Secret("old-access-token"), refreshToken: Secret("old-refresh-token"))
    return await OAuthClient(transport: transport).refresh(old, provider: provider, app: app, startedAt: start)
}

func exchange(
    _ provider: Provider, _ transport: ScriptedTransport, callback: String = "code=c", nonce: String? = nil,
    scopes: [String] = [], facts: [String: String] = [:], app: OAuthApp = app
) async throws -> ProviderOutcome<IssuedTokens> {
    await OAuthClient(transport: transport).exchange(
        code: Secret("the-code"), callback: try CallbackParameters(parsing: callback), codeVerifier: PKCE().verifier,
        nonce: nonce, scopes: scopes, provider: provider, app: app, facts: facts, startedAt: start)
}
