import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

/// One answer of an API to its probe, and what it says of the credential.
struct ProbeVector: Sendable, CustomTestStringConvertible {
    let integration: String
    let status: Int
    let body: String
    /// `alive`, or a verdict's name with the reason of `needs_user`.
    let means: String
    var headers: [String: String] = [:]

    init(_ integration: String, _ status: Int, _ body: String, _ means: String, headers: [String: String] = [:]) {
        self.integration = integration
        self.status = status
        self.body = body
        self.means = means
        self.headers = headers
    }

    var testDescription: String { "\(integration) \(status) \(body.prefix(70)) → \(means)" }
}

@Suite struct `recorded answers to probes` {
    static let vectors: [ProbeVector] = [
        .init("openai", 401, #"{"error":{"code":"invalid_api_key","type":"invalid_request_error"}}"#, "dead"),
        .init(
            "openai", 429, #"{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}"#, "needs_user:account"
        ),
        .init("openai", 403, #"{"error":{"code":"missing_scope"}}"#, "alive"),
        .init("openai", 503, "", "provider_trouble"),
        .init("anthropic", 401, #"{"type":"error","error":{"type":"authentication_error"}}"#, "dead"),
        .init(
            "anthropic", 429, #"{"error":{"type":"rate_limit_error"}}"#, "provider_trouble",
            headers: ["Retry-After": "12"]),
        .init("anthropic", 529, #"{"error":{"type":"overloaded_error"}}"#, "provider_trouble"),
        .init(
            "anthropic", 400, #"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            "needs_user:account"),
        .init("twilio", 401, #"{"code":20003,"message":"Authenticate","status":401}"#, "dead"),
        .init("twilio", 403, #"{"code":20005,"message":"Account not active"}"#, "needs_user:account"),
        .init("zendesk", 200, #"{"user":{"id":null,"name":"Anonymous user","role":"end-user"}}"#, "dead"),
        .init("zendesk", 200, #"{"user":{"id":35436,"name":"Johnny","role":"agent"}}"#, "alive"),
        .init(
            "zendesk", 401, #"{"error":"invalid_token","error_description":"The access token provided is expired"}"#,
            "dead"),
        .init(
            "dropbox", 401, #"{"error_summary":"expired_access_token/..","error":{".tag":"expired_access_token"}}"#,
            "dead"),
        .init(
            "dropbox", 401, #"{"error_summary":"invalid_access_token/","error":{".tag":"invalid_access_token"}}"#,
            "dead"),
        .init(
            "dropbox", 401, #"{"error_summary":"user_suspended/","error":{".tag":"user_suspended"}}"#,
            "needs_user:account"),
        .init("dropbox", 401, #"{"error_summary":"missing_scope/","error":{".tag":"missing_scope"}}"#, "unknown"),
        .init("figma", 403, #"{"status":403,"err":"Token expired"}"#, "dead"),
        .init("figma", 403, #"{"status":403,"err":"Invalid token"}"#, "dead"),
        .init("figma", 403, #"{"status":403,"err":"Limited by plan"}"#, "unknown"),
        .init("linear", 400, #"{"errors":[{"extensions":{"code":"RATELIMITED"}}]}"#, "provider_trouble"),
        .init("linear", 400, #"{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#, "dead"),
        .init("linear", 200, #"{"data":{"viewer":{"id":"v1"}}}"#, "alive"),
        .init("linear", 500, #"{"errors":[{"message":"malformed"}]}"#, "provider_trouble"),
        .init("intercom", 401, #"{"type":"error.list","errors":[{"code":"token_revoked"}]}"#, "dead"),
        .init("intercom", 401, #"{"errors":[{"code":"token_not_found"}]}"#, "dead"),
        .init(
            "monday", 200, #"{"error_code":"COMPLEXITY_BUDGET_EXHAUSTED","errors":[{"message":"x"}]}"#,
            "provider_trouble"),
        .init(
            "monday", 200, #"{"errors":[{"message":"x","extensions":{"code":"DAILY_LIMIT_EXCEEDED"}}]}"#,
            "provider_trouble"),
        .init("monday", 401, #"{"errors":["Not Authenticated"]}"#, "dead"),
        .init("monday", 200, #"{"errors":[{"message":"Not Authenticated"}]}"#, "dead"),
        .init("discord", 401, #"{"message":"401: Unauthorized","code":0}"#, "dead"),
        .init("discord", 429, #"{"message":"You are being rate limited.","retry_after":64.57}"#, "provider_trouble"),
        .init(
            "gitlab", 401,
            #"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization"}"#,
            "dead"),
        .init("gitlab", 401, #"{"error":"invalid_token","error_description":"Token was revoked."}"#, "dead"),
        .init("gitlab", 403, #"{"error":"insufficient_scope"}"#, "unknown"),
        .init("spotify", 401, #"{"error":{"status":401,"message":"The access token expired"}}"#, "dead"),
        .init("tiktok", 401, #"{"error":{"code":"access_token_invalid"}}"#, "dead"),
        .init("tiktok", 401, #"{"error":{"code":"scope_not_authorized"}}"#, "needs_user:consent"),
        .init("tiktok", 429, #"{"error":{"code":"rate_limit_exceeded"}}"#, "provider_trouble"),
        .init("tiktok", 200, #"{"data":{"user":{"open_id":"o"}},"error":{"code":"ok"}}"#, "alive"),
        .init(
            "gmail", 403,
            #"{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}],"status":"RESOURCE_EXHAUSTED"}}"#,
            "provider_trouble"),
    ]

    @Test(arguments: vectors)
    func `tell a dead credential from trouble and from people`(vector: ProbeVector) async throws {
        let integration = try #require(try bundledCatalog().integration(vector.integration))
        var tokens = TokenSet(accessToken: Secret("the-access"))
        tokens.facts = [
            "subdomain": "acme", "host": "gitlab.example.com", "key_sid": "SK1",
            "account_sid": "AC" + String(repeating: "0", count: 32),
        ]
        var client = app
        client.parameters = vector.integration == "gitlab" ? ["host": "gitlab.example.com"] : [:]
        let transport = ScriptedTransport(
            vector.status, vector.body, headers: vector.headers.map { (name: $0.key, value: $0.value) })
        let outcome = await OAuthClient(transport: transport).probe(tokens, integration: integration, app: client)
        var meaning = outcome.refusal?.verdict.name ?? (outcome.success == nil ? "other" : "alive")
        if case .needsUser(let reason)? = outcome.refusal?.verdict { meaning = "needs_user:\(reason.rawValue)" }
        #expect(meaning == vector.means)
    }

    @Test func `tell the granted scopes where the API says them`() async throws {
        let github = try #require(try bundledCatalog().integration("github"))
        let transport = ScriptedTransport(200, #"{"id":1}"#, headers: [("X-OAuth-Scopes", "repo, read:user")])
        let outcome = await OAuthClient(transport: transport).probe(
            TokenSet(accessToken: Secret("a")), integration: github, app: nil)
        #expect(outcome.success?.scopes == ["repo", "read:user"])
    }
}
