import Credentials
import Egress
import Foundation
import Lifecycle
import Postgres
import Store
import Testing
import Vault

/// Imports, exports and erasures over HTTP.
@Suite(.timeLimit(.minutes(5))) struct MovingTests {
    private func upload(
        _ world: FrontWorld, _ text: String, query: String = "", type: String = "application/x-ndjson",
        key: String? = nil
    ) async throws -> Answer {
        try await Answer.of(
            world.egress, "POST", world.base + "/v1/imports\(query)",
            [("authorization", "Bearer \(key ?? world.key)"), ("content-type", type)], Array(text.utf8))
    }

    private func rows(_ count: Int, _ more: String = "") -> String {
        (1...count).map {
            #"{"integration":"sandbox-strict","identity":"user-\#($0)","refresh_token":"imported-\#($0)"\#(more)}"#
        }.joined(separator: "\n")
    }

    @Test func `an upload larger than any other body becomes connections`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict")
            let filler = #","metadata":{"note":"\#(String(repeating: "x", count: 1000))"}"#
            let text = rows(600, filler)
            let answer = try await upload(world, text)
            #expect(answer.status == 202, "\(answer.text.prefix(500))")
            let id = try answer.string("id")
            while try await GrantImport(world.lifecycle).apply() {}
            let shown = try await world.call("GET", "/v1/imports/\(id)")
            #expect(try shown.string("state") == "done")
            #expect(shown.json["imported_rows"] as? Int == 600)
            let listed = try await world.call("GET", "/v1/imports/\(id)/rows?outcome=imported&limit=1")
            let connection = try #require(listed.rows.first?["connection"] as? String)
            #expect(try await world.call("GET", "/v1/connections/\(connection)").string("state") == "active")
            #expect(!world.logs.text.contains("imported-1"))
            #expect(
                try await upload(world, text, query: "?content_sha256=\(Encoding.hex(Digest.sha256(text)))").status
                    == 200)
        }
    }

    @Test func `bad rows are answered by line, and nothing is stored`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict")
            let answer = try await upload(world, rows(2) + "\n{}", query: "?rate=5")
            #expect(answer.status == 422)
            let rejected = try #require((answer.json["rejected"] as? [[String: Any]])?.first)
            #expect(rejected["line"] as? Int == 3)
            #expect(try await world.call("GET", "/v1/connections").json["total"] as? Int == 0)
            #expect(try await upload(world, rows(1), type: "text/html").status == 415)
            #expect(try await upload(world, rows(1), query: "?rate=0").status == 400)
            #expect(try await upload(world, rows(1), query: "?content_sha256=00").status == 400)
            let lie = String(repeating: "0", count: 64)
            #expect(try await upload(world, rows(1), query: "?content_sha256=\(lie)").status == 400)
            #expect(try await world.call("GET", "/v1/imports").rows.count == 1)
        }
    }

    @Test func `only a key of role full takes grants out, and no import or erasure of another environment is shown`()
        async throws
    {
        try await FrontWorld.with { world in
            let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
            let body = #"{"recipients":["\#(recipient)"]}"#
            for role in [APIKeyRole.operate, .connect, .read, .enqueue] {
                let key = try await FrontWorld.newKey(role, world.environment, in: world.pool)
                #expect(try await world.call("POST", "/v1/exports", body, key: key).status == 403, "\(role)")
            }
            let file = try await world.call("POST", "/v1/exports", body)
            #expect(file.status == 200 && file.text.hasPrefix("age-encryption.org/v1\n-> X25519 "))
            #expect(file.headers["content-type"] == "application/octet-stream")
            #expect(try await world.call("POST", "/v1/exports", #"{"recipients":["age1x"]}"#).status == 400)
            #expect(try await world.call("POST", "/v1/exports", #"{"recipients":[]}"#).status == 400)

            try await world.enable("sandbox-strict")
            let job = try await upload(world, rows(1)).string("id")
            let erasure = try await world.call("DELETE", "/v1/identities/user/user-1")
            #expect(erasure.status == 202)
            let other = try #require(try await Environments.insert(name: "other", mode: .live, in: world.pool))
            let stranger = try await FrontWorld.newKey(.full, other, in: world.pool)
            for path in ["/v1/imports/\(job)", "/v1/imports/\(job)/rows", "/v1/erasures/\(try erasure.string("id"))"] {
                #expect(try await world.call("GET", path).status == 200, "\(path)")
                #expect(try await world.call("GET", path, key: stranger).status == 404, "\(path)")
            }
        }
    }

    @Test func `an erased identity is unusable with the answer, and gone when its revocation is proven`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict")
            let made = try await world.connected("sandbox-strict", identity: "a/b c")
            let key = try made.string("key")
            let answer = try await world.call("DELETE", "/v1/identities/user/a%2Fb%20c")
            #expect(answer.status == 202 && answer.json["connections"] as? Int == 1, "\(answer.text)")
            #expect(try await world.pass("GET", "/me", connection: key).status == 410)
            let id = try #require(ConnectionRecord.uid(publicID: try made.string("id")))
            let row = try #require(
                try await Connections.find(uid: id, environmentID: world.environment.id, in: world.pool))
            #expect(try await ConnectionRevocation(world.lifecycle).attempt(connectionID: row.id) == nil)
            _ = try await IdentityErasure(world.lifecycle).finish()
            let shown = try await world.call("GET", "/v1/erasures/\(try answer.string("id"))")
            #expect(try shown.string("state") == "erased")
            #expect(try await world.call("GET", "/v1/connections?identity=a%2Fb%20c&state=revoked").rows.isEmpty)
            #expect(try await world.call("DELETE", "/v1/identities/person/x").status == 400)
        }
    }

    @Test func `client secrets are shown by version, never by text, and change by steps`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict")
            let path = "/v1/integrations/sandbox-strict/oauth-app"
            #expect(try await world.call("POST", path + "/promote").code == "no_next_secret")
            let put = try await world.call("PUT", path, #"{"next_client_secret":"the-next-one"}"#)
            #expect(put.status == 200 && !put.text.contains("the-next-one"), "\(put.text)")
            func roles(_ answer: Answer) -> [String] {
                (answer.json["secrets"] as? [[String: Any]])?.compactMap { $0["role"] as? String } ?? []
            }
            #expect(roles(put) == ["current", "next"])
            #expect(roles(try await world.call("POST", path + "/promote")) == ["current", "previous"])
            #expect(roles(try await world.call("POST", path + "/retire")) == ["current"])
            #expect(try await world.call("POST", path + "/retire").code == "no_second_secret")
            #expect(try await world.call("GET", "/v1/integrations/slack/oauth-app").code == "no_oauth_app")
            let read = try await FrontWorld.newKey(.read, world.environment, in: world.pool)
            #expect(try await world.call("PUT", path, #"{"next_client_secret":"x"}"#, key: read).status == 403)
        }
    }
}
