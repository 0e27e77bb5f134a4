import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Pacing
import Testing

private let granted = #"{"access_token":"new-access","token_type":"Bearer","expires_in":3600}"#

@Suite struct `token requests` {
    /// RFC 6749 §2.3.1: both parts are form-encoded, then joined and encoded.
    @Test func `encode client id and secret before Basic`() async throws {
        let transport = ScriptedTransport(200, granted)
        var app = app
        app.clientID = "a b:c"
        _ = await refresh(try plainProvider(), transport, app: app)
        let sent = try #require(transport.requests.first)
        let header = try #require(sent.header("Authorization"))
        let pair = Data(base64Encoded: String(header.dropFirst("Basic ".count))).map {
            String(decoding: $0, as: UTF8.self)
        }
        #expect(pair == "a%20b%3Ac:s3cret%26%3A%2F%20%C3%BC")
        #expect(sent.form == ["grant_type": "refresh_token", "refresh_token": "old-refresh-token"])
        #expect(sent.header("Content-Type") == "application/x-www-form-urlencoded")
        #expect(sent.header("Accept") == "application/json")
    }

    @Test func `carry id and secret in the body where the provider wants them there`() async throws {
        let transport = ScriptedTransport(200, granted)
        _ = try await exchange(try plainProvider("client: {authentication: body}"), transport)
        let sent = try #require(transport.requests.first)
        #expect(sent.header("Authorization") == nil)
        #expect(sent.form["client_id"] == "client-1" && sent.form["client_secret"] == "s3cret&:/ ü")
        #expect(sent.form["grant_type"] == "authorization_code" && sent.form["code"] == "the-code")
        #expect(sent.form["redirect_uri"] == app.redirectURI)
        #expect(sent.form["code_verifier"]?.utf8.count == 43)
        #expect(sent.method == "POST" && sent.url == "https://auth.example.com/token")
    }

    @Test(arguments: ["basic", "body", "none"])
    func `of a public client carry its id alone`(method: String) async throws {
        let transport = ScriptedTransport(200, granted)
        var app = app
        app.clientSecret = nil
        _ = await refresh(try plainProvider("client: {authentication: \(method)}"), transport, app: app)
        let sent = try #require(transport.requests.first)
        #expect(sent.header("Authorization") == nil)
        #expect(sent.form["client_id"] == "client-1" && sent.form["client_secret"] == nil)
    }

    @Test func `are JSON where the provider wants JSON, with its headers`() async throws {
        let transport = ScriptedTransport(200, granted)
        _ = await refresh(try #require(try bundledCatalog().provider("notion")), transport)
        let sent = try #require(transport.requests.first)
        let body = try JSONSerialization.jsonObject(with: Data(sent.text.utf8)) as? [String: String]
        #expect(body == ["grant_type": "refresh_token", "refresh_token": "old-refresh-token"])
        #expect(sent.header("Content-Type") == "application/json")
        #expect(sent.header("Notion-Version") == "2022-06-28")
        #expect(sent.header("Authorization")?.hasPrefix("Basic ") == true)
    }

    @Test func `escape what JSON must escape`() async throws {
        let transport = ScriptedTransport(200, granted)
        var app = app
        app.clientSecret = Secret("\"\\\n\u{1}ü")
        _ = await refresh(try #require(try bundledCatalog().provider("atlassian")), transport, app: app)
        let body = try JSONSerialization.jsonObject(with: Data(transport.requests[0].text.utf8)) as? [String: String]
        #expect(body?["client_secret"] == "\"\\\n\u{1}ü")
    }

    @Test func `use the provider's own parameter names and extras, which replace nothing`() async throws {
        let transport = ScriptedTransport(200, granted)
        let provider = try plainProvider(
            """
            client: {authentication: body, id_parameter: client_key}
            token_request: {refresh: {audience: api, grant_type: evil}}
            refresh_url: https://auth.example.com/refresh
            """)
        _ = await refresh(provider, transport)
        let sent = try #require(transport.requests.first)
        #expect(sent.form["client_key"] == "client-1" && sent.form["client_id"] == nil)
        #expect(sent.form["audience"] == "api" && sent.form["grant_type"] == "refresh_token")
        #expect(sent.url == "https://auth.example.com/refresh")
    }

    @Test(arguments: [("google", false), ("hubspot", false), ("xero", true), ("github", true), ("notion", true)])
    func `are sent on a fresh connection where the refresh token rotates`(id: String, isFresh: Bool) async throws {
        let provider = try #require(try bundledCatalog().provider(id))
        let transport = ScriptedTransport(200, granted)
        _ = await refresh(provider, transport)
        #expect(transport.requests.first?.freshConnection == isFresh)
    }

    @Test func `obey the replay class that the OAuth app sets`() async throws {
        let provider = try #require(try bundledCatalog().provider("salesforce"))
        var app = app
        app.replay = ReplayFacts(replayClass: .strict, harm: .family)
        let transport = ScriptedTransport(200, granted)
        _ = await refresh(provider, transport, app: app)
        #expect(transport.requests.first?.freshConnection == true)
    }

    @Test func `of a code are always on a fresh connection, and pass on the deadline`() async throws {
        let provider = try #require(try bundledCatalog().provider("google"))
        let transport = ScriptedTransport(200, granted)
        let deadline = BootInstant(nanoseconds: 5)
        _ = await OAuthClient(transport: transport).exchange(
            code: Secret("c"), callback: nil, codeVerifier: nil, nonce: nil, scopes: [], provider: provider, app: app,
            facts: [:], sendBy: deadline, timeout: .seconds(7))
        let sent = try #require(transport.requests.first)
        #expect(sent.freshConnection && sent.sendBy == deadline && sent.timeout == .seconds(7))
        #expect(sent.form["code_verifier"] == nil)
    }

    @Test func `reach no further than who named the host allows`() async throws {
        func policy(_ provider: Provider, _ tokens: TokenSet? = nil) async -> AddressPolicy? {
            let transport = ScriptedTransport(200, granted)
            _ = await refresh(provider, transport, tokens: tokens)
            return transport.requests.first?.policy
        }
        let catalog = try bundledCatalog()
        #expect(await policy(try #require(catalog.provider("google"))) == .publicOnly)
        #expect(await policy(try #require(catalog.provider("sandbox-strict"))) == .loopbackOnly)
        let top = "networks: [10.0.0.0/8]"
        #expect(await policy(try plainProvider(top: top)) == .allowing(networks: ["10.0.0.0/8"]))
        let typed = try plainProvider(
            """
            refresh_url: https://{name}.example.com/token
            parameters: {name: {type: label}}
            """, top: top)
        let tokens = TokenSet(accessToken: Secret("a"), refreshToken: Secret("r"), facts: ["name": "acme"])
        #expect(await policy(typed, tokens) == .publicOnly)
    }

    @Test func `are not sent with a host that its type refuses, nor without a refresh token`() async throws {
        let provider = try #require(try bundledCatalog().provider("salesforce"))
        let transport = ScriptedTransport(200, granted)
        let evil = TokenSet(accessToken: Secret("a"), refreshToken: Secret("r"), facts: ["domain": "evil.com"])
        #expect(await refresh(provider, transport, tokens: evil).failure?.code == .badURL)
        let none = TokenSet(accessToken: Secret("a"))
        #expect(await refresh(provider, transport, tokens: none).failure?.code == .badRequest)
        #expect(transport.requests.isEmpty)
    }

    @Test func `keep apart not sent and ambiguous`() async throws {
        let provider = try plainProvider()
        let refused = await refresh(provider, ScriptedTransport(.notSent(EgressFailure(.sendDeadline, "late"))))
        #expect(refused.failure?.code == .sendDeadline)
        let lost = await refresh(provider, ScriptedTransport(.ambiguous(EgressFailure(.reset, "gone"))))
        #expect(lost.ambiguity?.failure?.code == .reset)
    }
}
