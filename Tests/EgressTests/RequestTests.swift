import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct RequestTests {
    /// What the server read of one request.
    private func received(_ build: (String) -> EgressRequest) async throws -> RawRequest {
        let server = try RawServer { $0.answerAll("") }
        let client = EgressClient()
        let outcome = await client.send(build(server.url))
        #expect(outcome.words == "answered 200")
        await client.close()
        return try #require(server.requests.first)
    }

    @Test func `a request goes out with nothing that was not asked for`() async throws {
        let seen = try await received { url in request("GET", url + "/v1/users?q=a%20b&x={1}") }
        #expect(seen.line == "GET /v1/users?q=a%20b&x={1} HTTP/1.1")
        #expect(seen.headers.count == 2)
        #expect(seen.header("Host")?.hasPrefix("127.0.0.1:") == true)
        #expect(seen.header("User-Agent") == "evergrant/0.1")
    }

    @Test func `the path goes out as it is written`() async throws {
        for path in ["/a/../b/./c//d", "/a%2Fb/%2e%2e/c", "/", "", "?only=query"] {
            let seen = try await received { url in request("GET", url + path) }
            #expect(seen.target == (path.hasPrefix("/") ? path : "/" + path))
        }
    }

    @Test func `headers keep their order, case and bytes, and the given user agent wins`() async throws {
        let headers = [
            (name: "X-B", value: "2"), (name: "x-a", value: "1; q=\"ü\""), (name: "User-Agent", value: "own/1"),
            (name: "X-Empty", value: ""), (name: "X-B", value: "3"), (name: "Accept", value: "text/plain"),
        ]
        let seen = try await received { url in request("GET", url, headers: headers) }
        #expect(
            seen.headers.filter { !$0.hasPrefix("Host:") }
                == ["X-B: 2", "x-a: 1; q=\"ü\"", "User-Agent: own/1", "X-Empty:", "X-B: 3", "Accept: text/plain"])
    }

    @Test(arguments: ["POST", "PUT", "PATCH", "DELETE", "GET", "QUERY"])
    func `a body goes out whole under every method`(method: String) async throws {
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
        let type = [(name: "Content-Type", value: "application/octet-stream")]
        let seen = try await received { url in request(method, url, body: .bytes(bytes), headers: type) }
        #expect(seen.method == method)
        #expect(seen.body == bytes)
        #expect(seen.header("Content-Length") == "3000000")
        #expect(seen.header("Expect") == nil)
        #expect(seen.header("Content-Type") == "application/octet-stream")
    }

    @Test func `methods that expect a body say when there is none`() async throws {
        for (method, length) in [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("DELETE", nil), ("GET", nil)] {
            let seen = try await received { url in request(method, url) }
            #expect(seen.header("Content-Length") == length, "\(method)")
            #expect(seen.header("Content-Type") == nil)
        }
    }

    @Test func `a compressed answer comes down as it is`() async throws {
        let packed: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(packed.count)\r\n\r\n")
            connection.write(packed)
            connection.awaitClose()
        }
        let client = EgressClient()
        let headers = [(name: "Accept-Encoding", value: "gzip")]
        let response = await client.send(request("GET", server.url, headers: headers)).response
        #expect(response?.body == packed)
        #expect(server.requests.first?.header("Accept-Encoding") == "gzip")
        await client.close()
    }

    @Test(arguments: [
        "http://user:hush@127.0.0.1/", "http://hush@127.0.0.1/", "https://good.example\\@127.0.0.1/",
        "http://127.0.0.1/#hush", "http://127.0.0.1#hush", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX-Hush: 1",
        "http://127.0.0.1/\n", "http://127.0.0.1/\0", "http://127.0.0.1/ü", "http://127.0.0.1\\hush",
        "http://127.0.0.1/a\\..\\hush", "http:/127.0.0.1/", "http:127.0.0.1", "//127.0.0.1/", "127.0.0.1", "",
        "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http:///hush", "http://:80/",
        "http://127.0.0.1:/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:8a/",
        "http://127.0.0.1:80:80/", "http://%31%32%37.0.0.1/", "http://[::1/", "http://[::1]hush/",
        "http://[fe80::1%25eth0]/", "http://a,b/", "http://a%00b/", " http://127.0.0.1/",
    ])
    func `a URL that could mean something else is refused, and not repeated`(url: String) async {
        let client = EgressClient()
        let outcome = await client.send(request("GET", url))
        #expect(outcome.words == "not sent: bad_url")
        #expect(outcome.failure?.message.contains("ush") == false)
        await client.close()
    }

    @Test func `plain http needs permission`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let policy = AddressPolicy.allowing(networks: ["127.0.0.0/8"])
        let refused = await client.send(request("GET", server.url, policy: policy) { $0.allowsPlainHTTP = false })
        #expect(refused.words == "not sent: bad_url")
        #expect(server.connections == 0)
        let loopback = await client.send(request("GET", server.url) { $0.allowsPlainHTTP = false })
        #expect(loopback.words == "answered 200")
        await client.close()
    }

    @Test(arguments: [
        ("X-A", "1\r\nX-B: hush"), ("X-A", "1\nhush"), ("X-A", "hush\0"), ("X-A\r\nX-B", "hush"), ("X A", "hush"),
        ("X-A:", "hush"), ("", "hush"), ("X-Ä", "hush"), ("Host", "hush"), ("transfer-encoding", "chunked"),
        ("Connection", "hush"), ("Upgrade", "h2c"), ("TE", "trailers"), ("Expect", "100-continue"),
        ("Content-Length", "7"), ("Content-Length", "+1"), ("Content-Length", "1, 1"), ("X-A", "\u{7f}"),
    ])
    func `a header that could change the request is refused, and not repeated`(name: String, value: String) async throws
    {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let outcome = await client.send(
            request("POST", server.url, body: .bytes([1]), headers: [(name: name, value: value)]))
        #expect(outcome.words == "not sent: bad_request")
        #expect(outcome.failure?.message.contains("hush") == false)
        #expect(server.connections == 0)
        await client.close()
    }

    @Test func `a content length that agrees with the body is sent once`() async throws {
        let headers = [(name: "content-length", value: "3")]
        let seen = try await received { url in request("POST", url, body: .bytes([1, 2, 3]), headers: headers) }
        #expect(seen.headers.filter { $0.lowercased().hasPrefix("content-length") } == ["Content-Length: 3"])
    }

    @Test(arguments: ["", "GE T", "GET\r\n", "GET /\r\n", "CONNECT", "G\u{e4}T"])
    func `a method that is no token is refused`(method: String) async {
        let client = EgressClient()
        #expect(await client.send(request(method, "http://127.0.0.1/")).words == "not sent: bad_request")
        await client.close()
    }

    @Test func `HEAD with a body is refused`() async {
        let client = EgressClient()
        let outcome = await client.send(request("HEAD", "http://127.0.0.1/", body: .bytes([1])))
        #expect(outcome.words == "not sent: bad_request")
        await client.close()
    }
}
