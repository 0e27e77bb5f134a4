import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

@Suite struct `token answers` {
    @Test(arguments: [
        (#""expires_in":3600"#, 3600.0), (#""expires_in":"600""#, 600), (#""expires_in":3599.5"#, 3599.5),
        (#""expires_in":0"#, nil), (#""expires_in":-1"#, nil), (#""expires_in":"0""#, nil), (#""x":1"#, nil),
        (#""expires_in":null"#, nil), (#""expires_in":"soon""#, nil),
        (#""expires_at":"2026-01-01T02:00:00Z""#, 7200), (#""expires_at":"2026-01-01T02:00:00.250Z""#, 7200.25),
        (#""expires_at":"2026-01-01T03:00:00+01:00""#, 7200), (#""expires_at":1767232800"#, 7200),
        (#""expires_at":1767232800000"#, 7200), (#""expires_at":"1767232800""#, 7200), (#""expires_at":0"#, nil),
        (#""expires_in":60,"expires_at":1767232800"#, 60),
    ])
    func `tell their end in many forms`(field: String, seconds: Double?) async throws {
        let provider = try plainProvider("token_answer: {expires_at: expires_at}")
        let issued = await refresh(provider, ScriptedTransport(200, "{\"access_token\":\"a\",\(field)}")).success
        let tokens = try #require(issued?.tokens)
        #expect(tokens.expiresAt?.timeIntervalSince(start) == seconds)
    }

    @Test func `without an end have the catalog's lifetime`() async throws {
        let provider = try #require(try bundledCatalog().provider("salesforce"))
        let issued = await refresh(provider, ScriptedTransport(200, #"{"access_token":"a"}"#)).success
        #expect(issued?.tokens.expiresAt?.timeIntervalSince(start) == 7200)
    }

    @Test func `tell when the refresh token ends`() async throws {
        let google = try #require(try bundledCatalog().provider("google"))
        let body = #"{"access_token":"a","expires_in":3599,"refresh_token":"r","refresh_token_expires_in":604799}"#
        let issued = try await exchange(google, ScriptedTransport(200, body)).success
        #expect(issued?.tokens.refreshExpiresAt?.timeIntervalSince(start) == 604_799)
        let intuit = try #require(try bundledCatalog().provider("intuit"))
        let other = #"{"access_token":"a","expires_in":3600,"refresh_token":"r","x_refresh_token_expires_in":8726400}"#
        let second = await refresh(intuit, ScriptedTransport(200, other)).success
        #expect(second?.tokens.refreshExpiresAt?.timeIntervalSince(start) == 8_726_400)
    }

    @Test func `that leave things out keep those of before`() async throws {
        let old = TokenSet(
            accessToken: Secret("old-access"), refreshToken: Secret("old-refresh"),
            refreshExpiresAt: start, scopes: ["a", "b"], furtherTokens: ["user": Secret("u")], facts: ["k": "v"])
        let body = #"{"access_token":"new","token_type":"bearer","expires_in":60}"#
        let issued = try #require(await refresh(try plainProvider(), ScriptedTransport(200, body), tokens: old).success)
        #expect(!issued.hasNewRefreshToken)
        var expected = old
        expected.accessToken = Secret("new")
        expected.tokenType = "bearer"
        expected.expiresAt = start.addingTimeInterval(60)
        #expect(issued.tokens == expected)

        let rotated = #"{"access_token":"new","refresh_token":"r2","expires_in":60,"scope":"a"}"#
        let next = try #require(
            await refresh(try plainProvider(), ScriptedTransport(200, rotated), tokens: old).success)
        #expect(next.hasNewRefreshToken && next.tokens.refreshToken == Secret("r2"))
        #expect(next.tokens.refreshExpiresAt == nil && next.tokens.scopes == ["a"])
    }

    @Test func `of Slack hold the bot's token at the top and the user's besides`() async throws {
        let slack = try #require(try bundledCatalog().provider("slack"))
        let body = """
            {"ok":true,"access_token":"xoxe.xoxb-1","token_type":"bot","scope":"chat:write,users:read","bot_user_id":"U0",
             "expires_in":43200,"refresh_token":"xoxe-1","team":{"name":"Acme","id":"T9"},
             "authed_user":{"id":"U1","scope":"search:read","access_token":"xoxp-1","token_type":"user"}}
            """
        let issued = try #require(
            try await exchange(slack, ScriptedTransport(200, body), scopes: ["chat:write", "im:read"]).success)
        #expect(issued.tokens.accessToken == Secret("xoxe.xoxb-1"))
        #expect(issued.tokens.refreshToken == Secret("xoxe-1"))
        #expect(issued.tokens.scopes == ["chat:write", "users:read"])
        #expect(issued.missingScopes == ["im:read"])
        #expect(issued.tokens.furtherTokens == ["user": Secret("xoxp-1")])
        #expect(issued.tokens.facts == ["team_id": "T9", "team_name": "Acme", "user_id": "U1", "bot_user_id": "U0"])
        #expect(issued.refusedFacts.isEmpty)
    }

    @Test func `of Slack users stand under authed_user`() async throws {
        let slack = try #require(try bundledCatalog().provider("slack"))
        let body = """
            {"ok":true,"team":{"id":"T9"},"authed_user":{"id":"U1","scope":"search:read","access_token":"xoxe.xoxp-1",
             "refresh_token":"xoxe-9","expires_in":43200,"token_type":"user"}}
            """
        let issued = try #require(try await exchange(slack, ScriptedTransport(200, body)).success)
        #expect(issued.tokens.accessToken == Secret("xoxe.xoxp-1") && issued.tokens.refreshToken == Secret("xoxe-9"))
        #expect(issued.tokens.expiresAt?.timeIntervalSince(start) == 43_200)
        #expect(issued.tokens.furtherTokens.isEmpty)
    }

    @Test func `of GitHub may be form-encoded, with scopes between commas`() async throws {
        let github = try #require(try bundledCatalog().provider("github"))
        let body = Array(
            "access_token=gho_16C7e42F292c6912E7710c838347Ae178B4a&scope=repo%2Cgist&token_type=bearer".utf8)
        for type in ["application/x-www-form-urlencoded; charset=utf-8", "text/plain"] {
            let headers = EgressHeaders([("Content-Type", type)])
            let transport = ScriptedTransport(.answered(EgressResponse(status: 200, headers: headers, body: body)))
            let issued = try #require(try await exchange(github, transport).success)
            #expect(issued.tokens.accessToken == Secret("gho_16C7e42F292c6912E7710c838347Ae178B4a"))
            #expect(issued.tokens.scopes == ["repo", "gist"])
            #expect(issued.tokens.expiresAt == nil)
            #expect(transport.requests.first?.header("Accept") == "application/json")
        }
    }

    @Test func `of QuickBooks get their company from the callback, and fail without it`() async throws {
        let intuit = try #require(try bundledCatalog().provider("intuit"))
        let body = #"{"access_token":"a","refresh_token":"r","expires_in":3600}"#
        let whole = try await exchange(intuit, ScriptedTransport(200, body), callback: "code=c&realmId=9341452").success
        #expect(whole?.tokens.facts == ["realm_id": "9341452"] && whole?.refusedFacts.isEmpty == true)
        let missing = try await exchange(intuit, ScriptedTransport(200, body)).success
        #expect(missing?.refusedFacts.map(\.item) == ["realm_id"])
        let forged = try await exchange(intuit, ScriptedTransport(200, body), callback: "code=c&realmId=1/../2").success
        #expect(forged?.refusedFacts.map(\.item) == ["realm_id"] && forged?.tokens.facts.isEmpty == true)
        // A refresh says nothing of it and keeps it.
        var tokens = try #require(whole?.tokens)
        tokens.refreshToken = Secret("r")
        let next = await refresh(intuit, ScriptedTransport(200, body), tokens: tokens).success
        #expect(next?.tokens.facts == ["realm_id": "9341452"] && next?.refusedFacts.isEmpty == true)
    }

    @Test func `keep an instance URL of Salesforce, and drop any other`() async throws {
        let catalog = try bundledCatalog()
        let salesforce = try #require(catalog.provider("salesforce"))
        func body(_ url: String) -> String { #"{"access_token":"a","refresh_token":"r","instance_url":"\#(url)"}"# }
        let facts = ["domain": "login.salesforce.com"]
        let good = try await exchange(
            salesforce, ScriptedTransport(200, body("https://acme.my.salesforce.com")), facts: facts
        ).success
        #expect(good?.tokens.facts["instance_url"] == "https://acme.my.salesforce.com")
        let tokens = try #require(good?.tokens)
        let integration = try #require(catalog.integration("salesforce"))
        #expect(try integration.endpoint(tokens: tokens, app: app).base == "https://acme.my.salesforce.com")

        let evil = ScriptedTransport(200, body("https://acme.my.salesforce.com.evil.com"))
        let bad = try await exchange(salesforce, evil, facts: facts).success
        #expect(bad?.refusedFacts.map(\.item) == ["instance_url"] && bad?.tokens.facts["instance_url"] == nil)
        // On refresh the known one stays.
        let next = await refresh(salesforce, evil, tokens: tokens).success
        #expect(next?.refusedFacts.count == 1)
        #expect(next?.tokens.facts["instance_url"] == "https://acme.my.salesforce.com")
    }

    @Test func `with an ID token of another client, nonce or issuer are told`() async throws {
        let provider = try plainProvider("issuer: https://auth.example.com")
        func token(_ claims: String) -> String {
            "e30.\(Data(claims.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")).x"
        }
        func refused(_ claims: String) async throws -> [String] {
            let body = #"{"access_token":"a","id_token":"\#(token(claims))"}"#
            return try await exchange(provider, ScriptedTransport(200, body), nonce: "n").success?.refusedFacts.map(
                \.problem) ?? []
        }
        let good = #"{"aud":["x","client-1"],"nonce":"n","iss":"https://auth.example.com"}"#
        #expect(try await refused(good).isEmpty)
        #expect(try await refused(good.replacing("client-1", with: "other")) == ["is for another client"])
        #expect(try await refused(good.replacing("\"n\"", with: "\"m\"")) == ["belongs to another authorization"])
        #expect(try await refused(good.replacing("auth.example", with: "evil.example")) == ["is of another issuer"])
    }

    @Test func `do not show their secrets`() async throws {
        let issued = try #require(
            await refresh(try plainProvider(), ScriptedTransport(200, #"{"access_token":"very-secret-token"}"#)).success
        )
        #expect(!"\(issued)".contains("very-secret-token"))
    }
}
