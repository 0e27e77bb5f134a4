import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

@Suite struct `revocations` {
    private let tokens = TokenSet(
        accessToken: Secret("the-access"), refreshToken: Secret("the-refresh"),
        facts: ["domain": "acme.my.salesforce.com"])

    private func revoke(_ id: String, _ transport: ScriptedTransport) async throws -> ProviderOutcome<RevocationProof> {
        let provider = try #require(try bundledCatalog().provider(id))
        return await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
    }

    @Test func `are a form with the token by default, on a fresh connection`() async throws {
        let provider = try plainProvider("revocation: {url: \"https://auth.example.com/revoke\", hint: true}")
        let transport = ScriptedTransport(200, "")
        let outcome = await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
        #expect(outcome.success == RevocationProof(result: .revoked, status: 200, kills: .grant))
        let sent = try #require(transport.requests.first)
        #expect(sent.method == "POST" && sent.freshConnection)
        #expect(sent.form == ["token": "the-refresh", "token_type_hint": "refresh_token"])
        #expect(sent.header("Authorization")?.hasPrefix("Basic ") == true)
    }

    @Test func `of Google send no client and end the whole account`() async throws {
        let transport = ScriptedTransport(200, "{}")
        #expect(try await revoke("google", transport).success?.kills == .account)
        #expect(transport.requests[0].form == ["token": "the-refresh"])
        #expect(transport.requests[0].header("Authorization") == nil)
    }

    @Test func `of GitHub delete by id with Basic and JSON`() async throws {
        let transport = ScriptedTransport(204, "")
        #expect(try await revoke("github", transport).success?.result == .revoked)
        let sent = transport.requests[0]
        #expect(sent.method == "DELETE" && sent.url == "https://api.github.com/applications/client-1/grant")
        #expect(
            sent.text == #"{"access_token":"the-access"}"# && sent.header("Authorization")?.hasPrefix("Basic ") == true)
        #expect(sent.header("Accept") == "application/vnd.github+json")
    }

    @Test func `of Slack carry the bearer and are proved by ok`() async throws {
        let transport = ScriptedTransport(200, #"{"ok":true,"revoked":true}"#)
        #expect(try await revoke("slack", transport).success?.result == .revoked)
        #expect(transport.requests[0].header("Authorization") == "Bearer the-access")
        #expect(
            try await revoke("slack", ScriptedTransport(200, #"{"ok":false,"error":"fatal_error"}"#)).refusal?.verdict
                == .providerTrouble(retryAfter: nil))
    }

    @Test func `of Intuit are JSON, of Salesforce go to the typed domain`() async throws {
        let intuit = ScriptedTransport(200, "")
        _ = try await revoke("intuit", intuit)
        #expect(intuit.requests[0].text == #"{"token":"the-refresh"}"#)
        let salesforce = ScriptedTransport(200, "")
        _ = try await revoke("salesforce", salesforce)
        #expect(salesforce.requests[0].url == "https://acme.my.salesforce.com/services/oauth2/revoke")
    }

    @Test(arguments: [
        ("google", 400, #"{"error":"invalid_token"}"#), ("salesforce", 400, #"{"error":"unsupported_token_type"}"#),
        ("salesforce", 400, #"{"error":"invalid_token"}"#), ("github", 404, ""), ("github", 422, #"{"message":"x"}"#),
        ("slack", 200, #"{"ok":false,"error":"token_revoked"}"#), ("hubspot", 404, ""),
    ])
    func `of what is gone already count as done`(id: String, status: Int, body: String) async throws {
        #expect(try await revoke(id, ScriptedTransport(status, body)).success?.result == .alreadyGone)
    }

    @Test func `send nothing where the provider has no call`() async throws {
        let transport = ScriptedTransport(200, "")
        #expect(try await revoke("atlassian", transport).success?.result == .unsupported)
        #expect(try await revoke("microsoft", transport).success?.result == .unsupported)
        #expect(transport.requests.isEmpty)
    }

    @Test func `that fail say how`() async throws {
        #expect(try await revoke("google", ScriptedTransport(503, "")).ambiguity != nil)
        #expect(
            try await revoke("xero", ScriptedTransport(401, #"{"error":"invalid_client"}"#)).refusal?.verdict
                == .appFault)
        #expect(
            try await revoke("xero", ScriptedTransport(429, "", headers: [("Retry-After", "3")])).refusal?.verdict
                == .providerTrouble(retryAfter: .seconds(3)))
    }
}

@Suite struct `probes` {
    private func probe(
        _ id: String, _ status: Int, _ body: String, tokens: TokenSet? = nil, sent: ((EgressRequest) -> Void)? = nil
    )
        async throws -> ProviderOutcome<ProbeAnswer>
    {
        let integration = try #require(try bundledCatalog().integration(id))
        let transport = ScriptedTransport(status, body)
        let credential = tokens ?? TokenSet(accessToken: Secret("the-access"))
        let outcome = await OAuthClient(transport: transport).probe(credential, integration: integration, app: app)
        if let request = transport.requests.first { sent?(request) }
        return outcome
    }

    @Test func `place the credential and learn the account`() async throws {
        let outcome = try await probe("gmail", 200, #"{"emailAddress":"me@example.com","messagesTotal":3}"#) { sent in
            #expect(sent.url == "https://gmail.googleapis.com/gmail/v1/users/me/profile")
            #expect(sent.header("Authorization") == "Bearer the-access")
        }
        #expect(outcome.success?.account == Account(id: "me@example.com", label: "me@example.com"))
    }

    @Test func `of a key put it where the provider wants it`() async throws {
        let outcome = try await probe("sandbox-key", 200, #"{"id":7,"email":"me@example.com"}"#) { sent in
            #expect(sent.url == "http://127.0.0.1:7080/key/api/me" && sent.policy == .loopbackOnly)
            #expect(sent.header("x-api-key") == "the-access" && sent.header("Authorization") == nil)
        }
        #expect(outcome.success?.account == Account(id: "7", label: "me@example.com"))
    }

    @Test func `teach the site that calls need, and miss it`() async throws {
        let body = #"[{"id":"11223344-a1b2","url":"https://acme.atlassian.net","name":"acme"}]"#
        let learned = try #require(try await probe("jira", 200, body).success)
        #expect(
            learned.facts == ["cloud_id": "11223344-a1b2", "site": "https://acme.atlassian.net", "site_name": "acme"])
        #expect(learned.account == Account(id: "11223344-a1b2", label: "acme"))
        let jira = try #require(try bundledCatalog().integration("jira"))
        let tokens = TokenSet(accessToken: Secret("a"), facts: learned.facts)
        #expect(try jira.endpoint(tokens: tokens, app: app).base == "https://api.atlassian.com/ex/jira/11223344-a1b2")
        let none = try #require(try await probe("jira", 200, "[]").success)
        #expect(none.refusedFacts.map(\.item) == ["cloud_id"])
    }

    @Test func `send the headers whose facts are known`() async throws {
        _ = try await probe("xero", 200, "[]") { sent in #expect(sent.header("Xero-Tenant-Id") == nil) }
        let xero = try #require(try bundledCatalog().integration("xero"))
        let tokens = TokenSet(accessToken: Secret("a"), facts: ["tenant_id": "t-1"])
        let headers = try xero.defaultHeaders(tokens: tokens, app: nil)
        #expect(headers.map { "\($0.name): \($0.value)" } == ["Accept: application/json", "Xero-Tenant-Id: t-1"])
    }

    @Test(arguments: [
        ("gmail", 401, #"{"error":{"code":401,"status":"UNAUTHENTICATED"}}"#, "dead"),
        ("gmail", 403, #"{"error":{"errors":[{"reason":"userRateLimitExceeded"}]}}"#, "provider_trouble"),
        ("gmail", 403, #"{"error":{"errors":[{"reason":"insufficientPermissions"}]}}"#, "needs_user"),
        ("gmail", 403, #"{"error":{"errors":[{"reason":"new"}]}}"#, "unknown"),
        ("slack", 200, #"{"ok":false,"error":"token_expired"}"#, "dead"),
        ("slack", 200, #"{"ok":false,"error":"missing_scope"}"#, "unknown"),
        ("salesforce", 401, #"[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]"#, "dead"),
        ("salesforce", 403, #"[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, "provider_trouble"),
        ("quickbooks", 401, #"{"fault":{"error":[{"code":"3200","message":"expired"}]}}"#, "dead"),
        ("quickbooks", 403, #"{"fault":{"error":[{"code":"3100"}]}}"#, "needs_user"),
        ("quickbooks", 429, #"{"fault":{"error":[{"code":"003001"}]}}"#, "provider_trouble"),
        ("hubspot", 401, #"{"category":"EXPIRED_AUTHENTICATION"}"#, "dead"),
        ("hubspot", 477, "", "provider_trouble"),
        ("exa", 401, #"{"error":"Invalid API key"}"#, "dead"),
        ("exa", 400, #"{"error":"query is required"}"#, "alive"),
        ("exa", 402, #"{"error":"NO_MORE_CREDITS"}"#, "alive"),
        ("exa", 429, "", "provider_trouble"),
        ("github", 401, #"{"message":"Bad credentials"}"#, "dead"),
        ("github", 403, #"{"message":"API rate limit exceeded for user ID 1."}"#, "provider_trouble"),
        ("github", 403, #"{"message":"Maximum number of login attempts exceeded."}"#, "provider_trouble"),
        ("outlook", 401, #"{"error":{"code":"InvalidAuthenticationToken"}}"#, "dead"),
        ("notion", 401, #"{"code":"unauthorized"}"#, "dead"),
        ("notion", 404, #"{"code":"object_not_found"}"#, "unknown"),
        ("xero", 403, #"{"Title":"AuthenticationUnsuccessful"}"#, "needs_user"),
        ("xero", 500, "", "provider_trouble"), ("xero", 200, "<html>", "provider_trouble"),
        ("sandbox-strict", 200, #"{"id":"1"}"#, "alive"), ("sandbox-strict", 401, "", "dead"),
    ])
    func `tell a dead credential from trouble`(id: String, status: Int, body: String, meaning: String) async throws {
        var tokens = TokenSet(accessToken: Secret("the-access"))
        tokens.facts = ["instance_url": "https://acme.my.salesforce.com", "realm_id": "1"]
        let outcome = try await probe(id, status, body, tokens: tokens)
        #expect((outcome.refusal?.verdict.name ?? (outcome.success == nil ? "other" : "alive")) == meaning)
    }

    @Test func `are skipped where there is none, and say so`() async throws {
        let text = "integrations: {k: {title: K, category: c, api_key: {fields: {key: {}}}}}"
        let catalog = try IntegrationCatalog(sources: [CatalogSource(name: "k.yaml", text: text)])
        let one = try #require(catalog.integration("k"))
        let transport = ScriptedTransport(200, "")
        let outcome = await OAuthClient(transport: transport).probe(
            TokenSet(accessToken: Secret("a")), integration: one, app: nil)
        #expect(outcome.success?.tested == false && transport.requests.isEmpty)
    }
}
