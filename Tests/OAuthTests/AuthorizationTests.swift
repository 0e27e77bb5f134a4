import Catalog
import Credentials
import Foundation
import OAuth
import Testing

@Suite struct `authorization requests` {
    private func query(_ url: String) -> [String: String] {
        let text = url.split(separator: "?", maxSplits: 1).last.map(String.init) ?? ""
        return Dictionary(FormEncoding.decode(text).map { ($0.name, $0.value) }, uniquingKeysWith: { _, last in last })
    }

    @Test func `carry what RFC 6749, RFC 7636 and the catalog ask for`() throws {
        let catalog = try bundledCatalog()
        let gmail = try #require(catalog.integration("gmail"))
        let google = try #require(catalog.provider(of: gmail))
        let request = try AuthorizationRequest(integration: gmail, provider: google, app: app)
        #expect(request.url.hasPrefix("https://accounts.google.com/o/oauth2/v2/auth?"))
        let verifier = try #require(request.codeVerifier)
        #expect(
            query(request.url) == [
                "response_type": "code", "client_id": "client-1", "redirect_uri": app.redirectURI,
                "state": request.state, "scope": "https://www.googleapis.com/auth/gmail.readonly",
                "code_challenge": try PKCE(verifier: verifier).challenge, "code_challenge_method": "S256",
                "access_type": "offline", "prompt": "consent",
            ])
        #expect(request.state.utf8.count == 43)
        #expect(request.nonce == nil)
        #expect(!request.url.contains("s3cret"))
    }

    @Test func `join scopes in the provider's way, under its name`() throws {
        let catalog = try bundledCatalog()
        let user = try #require(catalog.integration("slack-user"))
        let slack = try #require(catalog.provider(of: user))
        let request = try AuthorizationRequest(integration: user, provider: slack, app: app)
        #expect(query(request.url)["user_scope"] == "chat:write,channels:read,users:read")
        #expect(query(request.url)["scope"] == nil)
    }

    @Test func `have a nonce when OpenID is asked for`() throws {
        let catalog = try bundledCatalog()
        let xero = try #require(catalog.integration("xero"))
        let provider = try #require(catalog.provider(of: xero))
        let request = try AuthorizationRequest(integration: xero, provider: provider, app: app)
        #expect(request.nonce != nil && query(request.url)["nonce"] == request.nonce)
    }

    @Test func `go to the host the user typed, and to no other`() throws {
        let catalog = try bundledCatalog()
        let salesforce = try #require(catalog.integration("salesforce"))
        let provider = try #require(catalog.provider(of: salesforce))
        let facts = try salesforce.values(typed: ["domain": "acme.my.salesforce.com"])
        let request = try AuthorizationRequest(integration: salesforce, provider: provider, app: app, facts: facts)
        #expect(request.url.hasPrefix("https://acme.my.salesforce.com/services/oauth2/authorize?"))
        #expect(throws: InvalidValue.self) {
            try AuthorizationRequest(
                integration: salesforce, provider: provider, app: app, facts: ["domain": "evil.com/#"])
        }
    }

    @Test(arguments: [
        "state", "redirect_uri", "code_challenge", "client_id", "scope", "nonce", "request_uri", "response_type",
    ])
    func `keep extras from replacing what the protocol sets`(name: String) throws {
        let catalog = try bundledCatalog()
        let github = try #require(catalog.integration("github"))
        let provider = try #require(catalog.provider(of: github))
        #expect(throws: InvalidValue.self) {
            try AuthorizationRequest(integration: github, provider: provider, app: app, extras: [name: "x"])
        }
        let fine = try AuthorizationRequest(integration: github, provider: provider, app: app, extras: ["login": "me"])
        #expect(query(fine.url)["login"] == "me")
    }

    @Test func `append to a query that the URL has already`() throws {
        let provider = try plainProvider()
        let github = try #require(try bundledCatalog().integration("github"))
        let request = try AuthorizationRequest(integration: github, provider: provider, app: app)
        #expect(request.url.hasPrefix("https://auth.example.com/authorize?tenant=1&response_type=code&"))
    }
}

@Suite struct `callbacks` {
    @Test func `give code, state and the provider's own parameters`() throws {
        let callback = try CallbackParameters(parsing: "code=a%2Fb+c&state=s&realmId=9341&iss=https%3A%2F%2Fa.example")
        #expect(callback.code == Secret("a/b c"))
        #expect(callback.state == "s")
        #expect(callback.further == ["realmId": "9341"])
        #expect(callback.issuer == "https://a.example")
    }

    @Test(arguments: ["code=a&code=b", "state=a&state=a", "error=a&error=b", "iss=a&iss=b"])
    func `with a parameter twice are refused`(query: String) {
        #expect(throws: InvalidValue.self) { try CallbackParameters(parsing: query) }
    }

    @Test func `are compared with the issuer the catalog expects`() throws {
        let provider = try plainProvider("issuer: https://auth.example.com/realms/a")
        func answer(_ query: String, _ provider: Provider) throws -> CallbackAnswer {
            try CallbackParameters(parsing: query).answer(from: provider, app: app)
        }
        if case .code(let code) = try answer("code=c&iss=https%3A%2F%2Fauth.example.com%2Frealms%2Fa", provider) {
            #expect(code == Secret("c"))
        } else {
            Issue.record("no code")
        }
        #expect(throws: CallbackFault.issuerMismatch) {
            try answer("code=c&iss=https%3A%2F%2Fauth.example.com%2Frealms%2Fb", provider)
        }
        #expect(throws: CallbackFault.issuerMismatch) {
            try answer("error=access_denied&iss=https%3A%2F%2Fx", provider)
        }
        #expect(throws: Never.self) { try answer("code=c", provider) }
        let strict = try plainProvider("issuer: {value: \"https://auth.example.com\", required: true}")
        #expect(throws: CallbackFault.issuerMissing) { try answer("code=c", strict) }
        #expect(throws: CallbackFault.empty) { try answer("state=s", try plainProvider()) }
    }

    @Test(arguments: [
        ("google", "access_denied", AuthorizationRefusal.Kind.denied), ("google", "admin_policy_enforced", .needsUser),
        ("atlassian", "access_denied", .denied), ("microsoft", "consent_required", .needsUser),
        ("slack", "invalid_scope", .setup), ("github", "redirect_uri_mismatch", .setup),
        ("slack", "invalid_client_id", .setup), ("hubspot", "temporarily_unavailable", .temporary),
        ("hubspot", "server_error", .temporary), ("hubspot", "something_else", .unknown),
    ])
    func `tell why consent was not given`(provider: String, code: String, kind: AuthorizationRefusal.Kind) throws {
        let provider = try #require(try bundledCatalog().provider(provider))
        let query = "error=\(code)&error_description=for+me%40example.com"
        guard case .refused(let refusal) = try CallbackParameters(parsing: query).answer(from: provider, app: app)
        else {
            Issue.record("not refused")
            return
        }
        #expect(refusal.kind == kind)
        #expect(refusal.code == code)
        #expect(refusal.description == "for <redacted>")
    }
}
