import Credentials
import Foundation
import Lifecycle
import Postgres
import Sandbox
import Testing
import Vault

@Suite(.timeLimit(.minutes(5))) struct `signals over HTTP` {
    @Test func `a signing secret is set by the API, never shown, and proves a signal`() async throws {
        try await FrontWorld.with { world in
            let put = try await world.call(
                "PUT", "/v1/integrations/slack",
                #"{"client_id":"c","client_secret":"s","signing_secret":"the-signing-secret","validate_every":3600}"#)
            #expect(put.status == 200, "\(put.text)")
            #expect(put.json["has_signing_secret"] as? Bool == true)
            #expect(put.json["validate_every"] as? Int == 3600)
            #expect(!put.text.contains("the-signing-secret"))
            let url = try put.string("inbound_url")
            #expect(url == world.base + "/inbound/test/slack")
            let body = #"{"challenge":"abc123","type":"url_verification"}"#
            let stamp = String(Int(Date().timeIntervalSince1970))
            let mac = Digest.hmacSHA256(key: Secret("the-signing-secret"), Array("v0:\(stamp):\(body)".utf8))
            func post(_ url: String, _ signature: String, body: String = body) async throws -> Answer {
                try await Answer.of(
                    world.egress, "POST", url,
                    [
                        ("content-type", "application/json"), ("x-slack-request-timestamp", stamp),
                        ("x-slack-signature", signature),
                    ], Array(body.utf8))
            }
            let proven = try await post(url, "v0=" + Encoding.hex(mac))
            #expect(proven.status == 200 && proven.text == "abc123")
            let forged = try await post(url, "v0=00")
            let nowhere = try await post(world.base + "/inbound/other/slack", "v0=" + Encoding.hex(mac))
            #expect(forged.status == 404 && nowhere.status == 404 && forged.code == nowhere.code)
            let large = try await post(url, "v0=00", body: String(repeating: "a", count: 262_145))
            #expect(large.status == 413)
            let deletion = try await Answer.of(world.egress, "DELETE", world.base + "/oauth/callback/slack", [], nil)
            #expect(deletion.status == 404)
            let cleared = try await world.call("PUT", "/v1/integrations/slack", #"{"signing_secret":""}"#)
            #expect(cleared.json["has_signing_secret"] as? Bool == false)
            #expect(try await post(url, "v0=" + Encoding.hex(mac)).status == 404)
        }
    }

    @Test(arguments: [
        ("gmail", #"{"signing_secret":"x"}"#), ("slack", #"{"validate_every":30}"#),
        ("slack", #"{"signing_secret":"x"}"#),
    ])
    func `a setting that cannot work is refused by its name`(integration: String, body: String) async throws {
        try await FrontWorld.with { world in
            let answer = try await world.call("PUT", "/v1/integrations/\(integration)", body)
            #expect(answer.status == 400 && answer.text.contains(body.contains("signing") ? "signing" : "validate"))
        }
    }

    @Test func `a call that the API refuses asks for a probe, and the probe finds the dead key`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-key")
            let value = world.sandbox.state.makeKey(account: "kim@example.com")
            let key = try await world.connectedByKey("sandbox-key", secret: value)
            func row() async throws -> (state: String, isDue: Bool) {
                let rows = try await world.pool.execute(
                    .init("test_asked", "select state, validate_due_at <= now() from evergrant.connections"))
                let found = try #require(try rows.map { try $0.decode(String.self, Bool.self) }.first)
                return (found.0, found.1)
            }
            #expect(try await world.pass("GET", "/me", connection: key).status == 200)
            #expect(try await row().isDue == false)
            world.sandbox.state.revokeKey(value)
            #expect(try await world.pass("GET", "/me", connection: key).status == 401)
            let asked = try await row()
            // The refused call itself breaks nothing.
            #expect(asked.state == "active" && asked.isDue)
            let id = try #require(
                try await world.pool.execute(.init("test_id", "select id from evergrant.connections"))
                    .map { try $0.decode(Int64.self) }.first)
            let validation = ConnectionValidation(
                world.lifecycle, refresher: CredentialRefresher(world.lifecycle))
            #expect(try await validation.validate(connectionID: id) == .refused(.suspected))
            #expect(try await row().state == "suspected")
        }
    }
}
