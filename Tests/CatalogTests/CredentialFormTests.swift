import Catalog
import Credentials
import Testing

@Suite struct `forms and placements` {
    private func integration(_ body: String) throws -> Integration {
        let text = "integrations:\n  acme:\n    title: Acme\n    category: crm\n" + body
        let catalog = try IntegrationCatalog(sources: [CatalogSource(name: "acme.yaml", text: text)])
        return try #require(catalog.integration("acme"))
    }

    private var zen: String {
        """
            parameters:
              account: {type: label}
            api_key:
              key: token
              fields:
                email: {label: E-mail, secret: false}
                token: {label: Token, pattern: "[a-z0-9]{8}"}
                extra: {label: Extra, optional: true}
            api_base: https://{account}.acme.example.com
            credential:
              basic: {username: "{email}/token", password: "{token}"}
        """
    }

    @Test func `a key becomes the access token, other secrets further tokens, the rest facts`() throws {
        let tokens = try integration(zen).credential(
            form: ["account": "a1", "email": " me@example.com ", "token": "abcd1234\n", "extra": "e"])
        #expect(tokens.accessToken == Secret("abcd1234"))
        #expect(tokens.furtherTokens == ["extra": Secret("e")])
        #expect(tokens.facts == ["account": "a1", "email": "me@example.com"])
        #expect(tokens.refreshToken == nil && tokens.expiresAt == nil)
    }

    @Test func `every fault of a form is told by its field`() throws {
        let one = try integration(zen)
        let error = #expect(throws: FormError.self) {
            try one.credential(form: ["account": "a.b", "token": "short", "acount": "x"])
        }
        #expect(error?.faults.map(\.item) == ["acount", "account", "email", "token"])
        #expect(error?.description.contains("did you mean account?") == true)
        #expect(error?.description.contains("short") == false)
    }

    @Test func `basic placement encodes user and password`() throws {
        let one = try integration(zen)
        let tokens = try one.credential(form: ["account": "a1", "email": "me@example.com", "token": "abcd1234"])
        let placed = one.placement.apply(tokens)
        // base64("me@example.com/token:abcd1234")
        #expect(placed.headers.map(\.value) == ["Basic bWVAZXhhbXBsZS5jb20vdG9rZW46YWJjZDEyMzQ="])
        #expect(one.placement.headerNames == ["authorization"])
        #expect("\(placed)" == "<redacted>")
    }

    @Test func `a key may go into a header or the query`() throws {
        let tokens = TokenSet(accessToken: Secret("k"), furtherTokens: ["user": Secret("u")])
        let header = CredentialPlacement.header(name: "X-Api-Key", prefix: "", token: nil)
        #expect(header.apply(tokens).headers.map(\.value) == ["k"] && header.headerNames == ["x-api-key"])
        let query = CredentialPlacement.query(name: "key", token: "user")
        #expect(query.apply(tokens).query.map(\.value) == ["u"] && query.queryNames == ["key"])
        let missing = CredentialPlacement.header(name: "Authorization", prefix: "Bearer ", token: "bot")
        #expect(missing.apply(tokens).headers.isEmpty)
    }

    @Test func `users give typed values, operators pin hosts`() throws {
        let catalog = try IntegrationCatalog(sources: [
            CatalogSource(
                name: "git.yaml",
                text: """
                    providers:
                      git:
                        parameters:
                          server: {type: operator_host}
                          group: {type: segment, default: all}
                        authorization_url: https://{server}/{group}/authorize
                        token_url: https://{server}/token
                    integrations:
                      git: {title: Git, category: dev, provider: git}
                    """)
        ])
        let one = try #require(catalog.integration("git"))
        #expect(try one.values(typed: [:]) == ["group": "all"])
        #expect(throws: FormError.self) { try one.values(typed: ["server": "evil.com"]) }
        #expect(try one.operatorValues(["server": "git.example.com"]) == ["server": "git.example.com"])
        #expect(throws: FormError.self) { try one.operatorValues([:]) }
    }
}
