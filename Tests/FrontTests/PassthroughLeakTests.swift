import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// What must never go up to a provider or come down from it, whatever a caller tries.
@Suite struct PassthroughLeakTests {
    static let placements = ["placed-header", "placed-query", "placed-basic", "placed-bearer"]
    static let secret = "sk_upstream_0123456789"

    @Test func `our key, cookies and forwarding headers never go up, whatever places the credential`() async throws {
        try await FrontWorld.with { world in
            for integration in Self.placements {
                let key = try await world.connectedByKey(integration)
                let echo = try await world.pass(
                    "POST", "/things?x=1&y=%2F", connection: key,
                    headers: [
                        ("cookie", "session=hidden"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-host", "evil.com"),
                        ("forwarded", "host=evil.com"), ("evergrant-identity", "user/user-1"), ("x-pica-secret", "s"),
                        ("proxy-authorization", "Basic eA=="), ("x-private", "nobody asked"), ("accept", "text/plain"),
                        ("if-none-match", "\"e\""), ("content-type", "text/x-test"), ("user-agent", "app/1"),
                    ], body: Array("hello".utf8))
                #expect(echo.status == 200, "\(integration): \(echo.text)")
                let sent = echo.text.lowercased()
                #expect(!echo.text.contains(world.key))
                for word in [
                    "cookie", "forwarded", "evergrant", "pica", "proxy-", "evil.com", "1.2.3.4", "x-private", "hidden",
                ] { #expect(!sent.contains(word), "\(integration): \(word) in \(sent)") }
                for word in [
                    "accept: text/plain", "if-none-match: \"e\"", "content-type: text/x-test", "app/1", "5 bytes",
                ] {
                    #expect(sent.contains(word), "\(integration): \(word) not in \(sent)")
                }
                #expect(sent.hasPrefix("post /base/v1/things?x=1&y=%2f"))
            }
        }
    }

    @Test func `a credential that a caller sends is replaced by the connection's`() async throws {
        try await FrontWorld.with { world in
            for (integration, needle) in [
                ("placed-header", "x-api-key: \(Self.secret)"), ("placed-query", "api_key=\(Self.secret)"),
                ("placed-basic", "authorization: Basic "), ("placed-bearer", "authorization: Token \(Self.secret)"),
            ] {
                let key = try await world.connectedByKey(integration)
                let path = integration == "placed-query" ? "/x?api_key=mine&API%5FKEY=mine2&keep=1" : "/x?keep=1"
                let echo = try await world.pass("GET", path, connection: key, headers: [("x-api-key", "mine3")])
                #expect(echo.text.contains(needle), "\(integration): \(echo.text)")
                #expect(!echo.text.contains("mine"), "\(integration): \(echo.text)")
                #expect(echo.text.contains("keep=1"))
            }
        }
    }

    @Test func `paths that try to leave the API base are refused, whatever places the credential`() async throws {
        try await FrontWorld.with { world in
            for integration in Self.placements {
                let key = try await world.connectedByKey(integration).prefix { $0 != "|" }
                for path in Self.hostile {
                    let answer = try await RawRequest.send(
                        "GET /v1/passthrough\(path) HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n"
                            + "Authorization: Bearer \(world.key)\r\nEvergrant-Connection: \(key)\r\n\r\n",
                        port: world.port)
                    #expect(answer.contains(" 400 "), "\(integration) \(path): \(answer)")
                }
            }
            #expect(world.upstream.requests.isEmpty, "\(world.upstream.requests)")
        }
    }

    static let hostile = [
        "/..", "/../admin", "/me/../../admin", "/%2e%2e/admin", "/%2E%2E/admin", "/.%2e/admin", "/%2e./admin",
        "/a/%2e%2e%2f%2e%2e/admin", "/a%2f..%2f..%2fadmin", "/a%2F%2E%2E%2Fadmin", "/%252e%252e/admin",
        "/%25252e%25252e/admin", "//evil.com/x", "/%2fevil.com", "/%2F%2Fevil.com", "/\\evil.com", "/..\\admin",
        "/%5cevil.com", "/%5c%5cevil.com", "/%255cevil.com", "/..;/admin", "/..;x=1/admin", "/%2e%2e;/admin", "/./me",
        "/me/.", "/%00", "/a%0d%0ab", "/a%zz", "/%", "/x#y",
    ]

    @Test func `an encoded slash inside a segment, and the query, go up as they were sent`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            let path = "/group%2Fproject/files/a%2Eb%20c/100%25?path=a%2Fb&empty=&plus=a+b&dots=../.."
            let echo = try await world.pass("GET", path, connection: key)
            #expect(echo.text.hasPrefix("GET /base/v1\(path)\n"), "\(echo.text)")
        }
    }

    @Test func `a forged Host or an absolute request target reaches no other host`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header").prefix { $0 != "|" }
            let rest = "Connection: close\r\nAuthorization: Bearer \(world.key)\r\nEvergrant-Connection: \(key)\r\n\r\n"
            let forged = try await RawRequest.send(
                "GET /v1/passthrough/x HTTP/1.1\r\nHost: evil.com\r\nX-Forwarded-Host: evil.com\r\n" + rest,
                port: world.port)
            #expect(forged.contains(" 200 "), "\(forged)")
            #expect(!forged.contains("evil.com"))
            let absolute = try await RawRequest.send(
                "GET http://evil.com/v1/passthrough/x HTTP/1.1\r\nHost: evil.com\r\n" + rest, port: world.port)
            // The request line's host is no more than a Host header: it names nobody else.
            #expect(!absolute.contains("evil.com"), "\(absolute)")
        }
    }

    @Test func `cookies, CORS and hop-by-hop fields do not come down, the rest does`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            let answer = try await world.pass("GET", "/teapot", connection: key)
            #expect(answer.status == 418)
            #expect(answer.text == "teapot")
            for name in ["set-cookie", "access-control-allow-origin", "x-private", "strict-transport-security"] {
                #expect(answer.headers[name] == nil, "\(name)")
            }
            #expect(answer.headers["x-ratelimit-remaining"] == "7")
            #expect(answer.headers["retry-after"] == "9")
            #expect(answer.headers["etag"] == "\"v1\"")
            #expect(answer.headers["content-type"] == "text/x-brew")
            #expect(answer.headers["x-content-type-options"] == "nosniff")
        }
    }

    @Test func `a redirect is handed down, not followed, and without the credential`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-query")
            let answer = try await world.pass("GET", "/redirect", connection: key)
            #expect(answer.status == 302)
            #expect(answer.headers["location"] == nil)
            let plain = try await world.connectedByKey("placed-header")
            let open = try await world.pass("GET", "/redirect", connection: plain)
            #expect(open.headers["location"] == "https://elsewhere.example/base/v1/redirect")
        }
    }
}
