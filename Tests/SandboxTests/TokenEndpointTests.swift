import Foundation
import Testing

@testable import Sandbox

@Suite struct TokenEndpointTests {
    @Test func `a code gives a token set that opens the API`() async throws {
        try await withSandbox { sandbox async throws in
            let code = try #require(try await sandbox.authorize("windowed")["code"])
            let answer = try await sandbox.exchange("windowed", code: code)
            #expect(answer["cache-control"] == "no-store")
            #expect(answer["content-type"] == "application/json")
            #expect(answer.text("token_type") == "Bearer")
            #expect(answer.text("scope") == "read write")
            let tokens = try SandboxHarness.tokens(answer)
            #expect((3599...3600).contains(tokens.expiresIn))
            #expect(try await sandbox.get("/windowed/api/me", bearer: tokens.access).status == 200)
        }
    }

    @Test(arguments: [
        ("code_verifier", "wrong-verifier-wrong-verifier-wrong-verifier-"), ("code_verifier", ""),
        ("code_verifier", "short"),
        ("redirect_uri", "http://127.0.0.1:9/other"), ("redirect_uri", ""), ("code", "sbx_code_unknown"),
    ])
    func `a code with a wrong companion is refused`(name: String, value: String) async throws {
        try await withSandbox { sandbox async throws in
            let code = try #require(try await sandbox.authorize("strict")["code"])
            let refused = try await sandbox.exchange("strict", code: code, [(name, value)])
            #expect(refused.status == 400)
            #expect(refused.text("error") == "invalid_grant")
            #expect(sandbox.state.grants().isEmpty)
        }
    }

    @Test func `a verifier for a request without challenge is refused`() async throws {
        try await withSandbox { sandbox async throws in
            let bare: [String: String?] = ["code_challenge": nil, "code_challenge_method": nil]
            let code = try #require(try await sandbox.authorize("strict", bare)["code"])
            #expect(try await sandbox.exchange("strict", code: code).text("error") == "invalid_grant")
            #expect(try await sandbox.exchange("strict", code: code, [("code_verifier", "")]).status == 200)
        }
    }

    @Test func `a code used twice revokes what it gave`() async throws {
        try await withSandbox { sandbox async throws in
            let code = try #require(try await sandbox.authorize("strict")["code"])
            let tokens = try SandboxHarness.tokens(try await sandbox.exchange("strict", code: code))
            #expect(try await sandbox.exchange("strict", code: code).text("error") == "invalid_grant")
            #expect(try await sandbox.get("/strict/api/me", bearer: tokens.access).status == 401)
            #expect(try await sandbox.refresh("strict", tokens.refresh).status == 400)
            #expect(try sandbox.grant().why == "its authorization code was used twice")
        }
    }

    @Test func `a code ends after ten minutes`() async throws {
        try await withSandbox { sandbox async throws in
            let code = try #require(try await sandbox.authorize("strict")["code"])
            sandbox.state.advanceClock(by: 601)
            #expect(try await sandbox.exchange("strict", code: code).text("error") == "invalid_grant")
        }
    }

    @Test func `a client may authenticate by Basic, form-encoded inside`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.register(client: "a:b", secret: "s+ %é", redirectURIs: [])
            let code = try #require(try await sandbox.authorize("strict", ["client_id": "a:b"])["code"])
            let pair = "a%3Ab:s%2B+%25%C3%A9"
            let answer = try await sandbox.post(
                "/strict/token",
                [
                    ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", SandboxHarness.redirect),
                    ("code_verifier", SandboxHarness.verifier),
                ], headers: [("Authorization", "Basic " + Data(pair.utf8).base64EncodedString())])
            #expect(answer.status == 200)
        }
    }

    @Test func `a client that fails to authenticate gets 401, and a challenge when it tried Basic`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh)]
            let wrong = [("client_id", "sandbox-client"), ("client_secret", "wrong")]
            for credentials in [
                wrong, [("client_id", "nobody"), ("client_secret", "x")], [("client_id", "sandbox-client")], [],
            ] {
                let answer = try await sandbox.post("/strict/token", form + credentials)
                #expect(answer.status == 401)
                #expect(answer.text("error") == "invalid_client")
                #expect(answer["www-authenticate"] == nil)
            }
            let basic = try await sandbox.post(
                "/strict/token", form,
                headers: [("Authorization", "Basic " + Data("sandbox-client:wrong".utf8).base64EncodedString())])
            #expect(basic.status == 401)
            #expect(basic["www-authenticate"]?.hasPrefix("Basic") == true)
            #expect(sandbox.state.lookup(tokens.refresh).alive)
        }
    }

    @Test func `a public client needs no secret, and must not send one`() async throws {
        try await withSandbox { sandbox async throws in
            #expect(try await sandbox.control("POST", "clients", #"{"client_id":"pub","public":true}"#).status == 201)
            let code = try #require(try await sandbox.authorize("strict", ["client_id": "pub"])["code"])
            let lie = [("client_id", "pub"), ("client_secret", "x")]
            #expect(try await sandbox.exchange("strict", code: code, lie).status == 401)
            #expect(try await sandbox.exchange("strict", code: code, [("client_id", "pub")]).status == 200)
        }
    }

    @Test func `malformed requests are refused by their fault`() async throws {
        try await withSandbox { sandbox async throws in
            let client = SandboxHarness.client
            let repeated = try await sandbox.post(
                "/strict/token",
                [("grant_type", "refresh_token"), ("refresh_token", "a"), ("refresh_token", "b")] + client)
            #expect(repeated.text("error") == "invalid_request")
            let unknown = try await sandbox.post("/strict/token", [("grant_type", "password")] + client)
            #expect(unknown.text("error") == "unsupported_grant_type")
            let missing = try await sandbox.post("/strict/token", [("grant_type", "refresh_token")] + client)
            #expect(missing.text("error") == "invalid_request")
            #expect(try await sandbox.get("/strict/token").status == 405)
            let json = try await sandbox.send(
                "POST", "/strict/token", headers: [("Content-Type", "application/json")], body: Array("{}".utf8))
            #expect(json.text("error") == "invalid_request")
            let huge = try await sandbox.post("/strict/token", [("x", String(repeating: "x", count: 70_000))])
            #expect(huge.status == 413)
        }
    }

    @Test func `a refresh may narrow its scope, never widen it`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            #expect(
                try await sandbox.refresh("strict", tokens.refresh, [("scope", "admin")]).text("error")
                    == "invalid_scope")
            #expect(try await sandbox.refresh("strict", tokens.refresh, [("scope", "read")]).text("scope") == "read")
        }
    }

    @Test func `lifetimes end tokens and grants by the provider's clock`() async throws {
        try await withSandbox { sandbox async throws in
            let set = try await sandbox.control(
                "PUT", "settings",
                #"{"classes":{"strict":{"access_lifetime":60,"refresh_lifetime":500,"grant_lifetime":900,"expires_in_form":"text"}}}"#
            )
            #expect(set.status == 200)
            let tokens = try await sandbox.connect("strict")
            sandbox.state.advanceClock(by: 30)
            #expect(try await sandbox.get("/strict/api/me", bearer: tokens.access).status == 200)
            sandbox.state.advanceClock(by: 30)
            #expect(try await sandbox.get("/strict/api/me", bearer: tokens.access).status == 401)
            let answer = try await sandbox.refresh("strict", tokens.refresh)
            #expect(answer.text("expires_in") == "60")
            #expect(answer.number("refresh_token_expires_in") == 500)
            let next = try SandboxHarness.tokens(answer)
            sandbox.state.advanceClock(by: 501)
            #expect(try await sandbox.refresh("strict", next.refresh).status == 400)
            #expect(try sandbox.grant().alive)
            sandbox.state.advanceClock(by: 400)
            #expect(try !sandbox.grant().alive)
        }
    }

    @Test func `a refresh can end the access token in use`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.strict].refreshKillsAccess = true }
            let first = try await sandbox.connect("strict")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("strict", first.refresh))
            #expect(try await sandbox.get("/strict/api/me", bearer: first.access).status == 401)
            #expect(try await sandbox.get("/strict/api/me", bearer: second.access).status == 200)
        }
    }
}
