import Testing
import Vault

@testable import Sandbox

@Suite struct APITests {
    @Test func `me names the account, the same in every class`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict", account: "mary.jane@example.com")
            let me = try await sandbox.get("/strict/api/me", bearer: tokens.access)
            #expect(me.text("email") == "mary.jane@example.com")
            #expect(me.text("name") == "Mary Jane")
            let other = try await sandbox.connect("replayable", account: "mary.jane@example.com")
            #expect(try await sandbox.get("/replayable/api/me", bearer: other.access).text("id") == me.text("id"))
        }
    }

    @Test func `a missing or unknown token gets 401 with its challenge`() async throws {
        try await withSandbox { sandbox async throws in
            let missing = try await sandbox.get("/strict/api/me")
            #expect(missing.status == 401)
            #expect(missing["www-authenticate"] == "Bearer realm=\"sandbox\"")
            let unknown = try await sandbox.get("/strict/api/me", bearer: "x")
            #expect(unknown["www-authenticate"]?.contains("invalid_token") == true)
            #expect(sandbox.state.ledger().calls.map(\.outcome) == [.refused, .refused])
        }
    }

    @Test func `echo returns everything as it was received`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let body = SecureRandom.bytes(300_000)
            let target = "/strict/api/echo/a%2Fb/../c//d?x=1&y=%20z+"
            let echo = try await sandbox.send(
                "PATCH", target,
                headers: [
                    ("Host", "forged.example"), ("Authorization", "Bearer \(tokens.access)"), ("X-Odd", "1"),
                    ("x-odd", "2"),
                    ("Cookie", "a=b"),
                ], body: body)
            #expect(echo.status == 200)
            #expect(echo.text("method") == "PATCH")
            #expect(echo.text("path") == "/strict/api/echo/a%2Fb/../c//d")
            #expect(echo.text("query") == "x=1&y=%20z+")
            let headers = (echo.object["headers"] as? [[String]]) ?? []
            #expect(headers.contains(["host", "forged.example"]))
            #expect(headers.contains(["X-Odd", "1"]) && headers.contains(["x-odd", "2"]))
            #expect(headers.contains(["Cookie", "a=b"]))
            let seen = echo.object["body"] as? [String: Any]
            #expect(seen?["bytes"] as? Int == body.count)
            #expect(seen?["sha256"] as? String == Encoding.hex(Digest.sha256(body)))
        }
    }

    @Test(arguments: ["GET", "PUT", "DELETE", "OPTIONS", "PURGE"])
    func `echo takes any method`(method: String) async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let echo = try await sandbox.send(
                method, "/strict/api/echo", headers: [("Authorization", "Bearer \(tokens.access)")])
            #expect(echo.text("method") == method)
        }
    }

    @Test func `HEAD answers without a body`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let headers = [("Authorization", "Bearer \(tokens.access)")]
            let head = try await sandbox.send("HEAD", "/strict/api/me", headers: headers)
            let get = try await sandbox.send("GET", "/strict/api/me", headers: headers)
            #expect(head.status == 200)
            #expect(head["content-length"] == get["content-length"])
        }
    }

    @Test(arguments: [0, 1, 65_536, 3_000_001])
    func `large streams as many bytes as asked for`(bytes: Int) async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let known = try await sandbox.get("/strict/api/large?bytes=\(bytes)", bearer: tokens.access)
            #expect(known.body.count == bytes && !known.isCut)
            #expect(known["content-length"] == String(bytes))
            let chunked = try await sandbox.get("/strict/api/large?chunked=1&bytes=\(bytes)", bearer: tokens.access)
            #expect(chunked.body.count == bytes && !chunked.isCut)
            #expect(chunked["transfer-encoding"] == "chunked")
        }
    }

    @Test func `items come page by page`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            var after = 0
            var seen: [Int] = []
            repeat {
                let page = try await sandbox.get("/strict/api/items?limit=15&after=\(after)", bearer: tokens.access)
                seen += page.list("items").compactMap { $0["id"] as? Int }
                after = Int(page.number("next") ?? 0)
            } while after > 0
            #expect(seen == Array(1...40))
        }
    }

    @Test func `keys open the API of their class until they are revoked`() async throws {
        try await withSandbox { sandbox async throws in
            let made = try await sandbox.control("POST", "keys", #"{"account":"kim@example.com"}"#)
            #expect(made.status == 201)
            let key = try #require(made.text("key"))
            let header = [("X-API-Key", key)]
            #expect(try await sandbox.send("GET", "/key/api/me", headers: header).text("email") == "kim@example.com")
            #expect(try await sandbox.get("/key/api/me", bearer: key).status == 401)
            #expect(sandbox.state.lookup(key).alive)
            #expect(try await sandbox.control("DELETE", "keys/\(key)").flag("alive") == false)
            #expect(try await sandbox.send("GET", "/key/api/me", headers: header).status == 401)
            #expect(try await sandbox.control("DELETE", "keys/unknown").status == 404)
            #expect(try await sandbox.post("/key/token", []).status == 404)
        }
    }

    @Test func `the key page makes a key that works`() async throws {
        try await withSandbox { sandbox async throws in
            #expect(try await sandbox.get("/key").text.contains("Make a key"))
            let page = try await sandbox.post("/key", [("account", "<b>@example.com")])
            #expect(page.status == 201)
            #expect(!page.text.contains("<b>@"))
            let rest = try #require(page.text.firstRange(of: "id=\"key\">")).upperBound
            let key = String(page.text[rest...].prefix { $0 != "<" })
            #expect(key.hasPrefix("sk_sandbox_"))
            let me = try await sandbox.send("GET", "/key/api/me", headers: [("x-api-key", key)])
            #expect(me.text("email") == "<b>@example.com")
        }
    }

    @Test func `paths outside the endpoints are 404`() async throws {
        try await withSandbox { sandbox async throws in
            for path in ["//strict/api/me", "/strict", "/nope/token", "/strict/token/", "/strict/api", "/control/nope"]
            {
                #expect(try await sandbox.get(path).status == 404)
            }
            #expect(try await sandbox.get("/healthz").status == 200)
            #expect(try await sandbox.get("/").text.contains("until-used"))
        }
    }
}
