import Pacing
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct OutcomeTests {
    /// The outcome of one POST at a server that runs `script`, and the request it saw.
    private func outcome(
        _ change: (inout EgressRequest) -> Void = { _ in }, _ script: @escaping RawServer.Script
    ) async throws -> (outcome: EgressOutcome, requests: Int) {
        let server = try RawServer(script)
        let client = EgressClient()
        let outcome = await client.send(request("POST", server.url + "/token?secret=hush", body: .bytes([1]), change))
        await client.close()
        if let message = outcome.failure?.message {
            #expect(!message.contains("hush") && !message.contains("/token"), "\(message)")
            #expect(message.contains(server.url))
        }
        return (outcome, server.requests.count)
    }

    @Test(arguments: ["200 OK", "204 No Content", "400 Bad Request", "401 Unauthorized", "429 Too Many", "503 Away"])
    func `a whole answer is answered, whatever its status`(status: String) async throws {
        let (outcome, requests) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 \(status)\r\n\(status.hasPrefix("204") ? "" : "Content-Length: 0\r\n")\r\n")
            connection.awaitClose()
        }
        #expect(outcome.words == "answered \(status.prefix(3))")
        #expect(requests == 1)
    }

    @Test func `a body without a length ends with its connection`() async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\n\r\nuntil the end")
        }
        #expect(outcome.text == "until the end")
    }

    @Test func `a chunked body is put together, and its trailers are not headers`() async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nX-One: 1\r\n\r\n")
            connection.write("4\r\nfour\r\n6;x=y\r\n and 6\r\n0\r\nX-Sum: 10\r\nX-One: 2\r\n\r\n")
            connection.awaitClose()
        }
        #expect(outcome.text == "four and 6")
        #expect(outcome.response?.headers["x-sum"] == nil)
        #expect(outcome.response?.headers.values("X-One") == ["1"])
    }

    @Test func `interim answers are not the answer`() async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 100 Continue\r\n\r\n")
            connection.write("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-From: hints\r\n\r\n")
            connection.write("HTTP/1.1 201 Created\r\nX-From: answer\r\nContent-Length: 2\r\n\r\nok")
            connection.awaitClose()
        }
        #expect(outcome.words == "answered 201")
        #expect(outcome.response?.headers["link"] == nil)
        #expect(outcome.response?.headers.values("x-from") == ["answer"])
    }

    @Test func `header fields keep order, repetition and bytes`() async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Empty:\r\nset-cookie:  b=2 \r\nX-Name: ")
            connection.write([0x6a, 0xfc, 0x72, 0x67])
            connection.write("\r\nX-Utf: jürg\r\nContent-Length: 0\r\n\r\n")
            connection.awaitClose()
        }
        let headers = try #require(outcome.response?.headers)
        #expect(headers.map(\.name) == ["Set-Cookie", "X-Empty", "set-cookie", "X-Name", "X-Utf", "Content-Length"])
        #expect(headers.values("SET-COOKIE") == ["a=1", "b=2"])
        #expect(headers["x-empty"]?.isEmpty == true)
        #expect(headers["x-name"] == "jürg")
        #expect(headers["x-utf"] == "jürg")
        #expect(headers["x-none"] == nil)
    }

    @Test func `nothing listens: not sent`() async throws {
        let server = try RawServer { $0.answerAll() }
        server.stop()
        let client = EgressClient()
        #expect(await client.send(request("POST", server.url)).words == "not sent: connect")
        await client.close()
    }

    @Test func `a name without an address is not sent`() async {
        let client = EgressClient()
        let outcome = await client.send(request("POST", "http://name.invalid/path?secret=hush", policy: .publicOnly))
        #expect(outcome.words == "not sent: resolve")
        #expect(outcome.failure?.message.contains("hush") == false)
        await client.close()
    }

    @Test func `no TLS on the other side is not sent`() async throws {
        let server = try RawServer { connection in
            connection.write("HTTP/1.1 400 Plain\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let outcome = await client.send(request("POST", "https://127.0.0.1:\(server.port)/"))
        #expect(outcome.words == "not sent: tls")
        #expect(server.requests.isEmpty)
        await client.close()
    }

    @Test func `a TLS handshake that never ends is not sent`() async throws {
        let server = try RawServer { $0.awaitClose() }
        let client = EgressClient()
        let outcome = await client.send(
            request("POST", "https://127.0.0.1:\(server.port)/") { $0.connectTimeout = .milliseconds(50) })
        #expect(outcome.words == "not sent: timed_out")
        await client.close()
    }

    @Test func `silence after the request is ambiguous`() async throws {
        let (outcome, requests) = try await outcome({ $0.timeout = .milliseconds(80) }) { connection in
            _ = connection.request()
            connection.awaitClose()
        }
        #expect(outcome.words == "ambiguous: timed_out")
        #expect(requests == 1)
    }

    @Test func `a body that stops coming is ambiguous`() async throws {
        let (outcome, _) = try await outcome({ $0.timeout = .milliseconds(80) }) { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            connection.awaitClose()
        }
        #expect(outcome.words == "ambiguous: timed_out")
    }

    @Test func `an orderly end before the answer is ambiguous`() async throws {
        let (outcome, requests) = try await outcome { _ = $0.request() }
        #expect(outcome.words == "ambiguous: empty_answer")
        #expect(requests == 1)
    }

    @Test func `a reset before the answer is ambiguous`() async throws {
        let (outcome, requests) = try await outcome { connection in
            _ = connection.request()
            connection.reset()
        }
        #expect(outcome.words == "ambiguous: reset")
        #expect(requests == 1)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfo",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    ])
    func `an answer that is cut anywhere is ambiguous`(answer: String) async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write(answer)
        }
        #expect(["ambiguous: truncated", "ambiguous: empty_answer"].contains(outcome.words), "\(outcome.words)")
    }

    @Test(arguments: [
        "no HTTP at all\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nwhat\r\n0\r\n\r\n",
    ])
    func `an answer that is not HTTP is ambiguous`(answer: String) async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write(answer)
            connection.awaitClose()
        }
        // libcurl has one code for a broken chunk and a broken connection.
        #expect(outcome.words == (answer.contains("chunked") ? "ambiguous: reset" : "ambiguous: bad_answer"))
    }

    @Test func `a body at the limit is answered, one byte more is ambiguous`() async throws {
        for (length, words) in [(1_000, "answered 200"), (1_001, "ambiguous: too_large")] {
            for framing in ["Content-Length: \(length)\r\n", ""] {
                let (outcome, _) = try await outcome({ $0.maximumResponseBytes = 1_000 }) { connection in
                    _ = connection.request()
                    connection.write("HTTP/1.1 200 OK\r\n\(framing)\r\n")
                    connection.write([UInt8](repeating: 1, count: length))
                }
                #expect(outcome.words == words, "\(length) \(framing)")
            }
        }
    }

    @Test func `an answer to HEAD may name any length`() async throws {
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let response = await client.send(request("HEAD", server.url)).response
        #expect(response?.headers["content-length"] == "5000000")
        #expect(response?.body == [])
        await client.close()
    }

    @Test func `a flood of header fields is ambiguous`() async throws {
        let (outcome, _) = try await outcome { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\n")
            let line = "X-Flood: " + String(repeating: "x", count: 1_000) + "\r\n"
            while connection.write(line) {}
        }
        #expect(outcome.words == "ambiguous: too_large")
    }

    @Test func `cancelling before the connection stands is not sent, afterwards ambiguous`() async throws {
        let accepted = Latch()
        let received = Latch()
        let server = try RawServer { connection in
            accepted.open()
            if connection.request() != nil { received.open() }
            connection.awaitClose()
        }
        let client = EgressClient()
        let early = Task { await client.send(request("POST", "https://127.0.0.1:\(server.port)/")) }
        await accepted.wait()
        early.cancel()
        let earlyWords = await early.value.words
        #expect(earlyWords == "not sent: cancelled")
        let late = Task { await client.send(request("POST", server.url)) }
        await received.wait()
        late.cancel()
        let lateWords = await late.value.words
        #expect(lateWords == "ambiguous: cancelled")
        await client.close()
    }

    @Test func `a task that is cancelled already sends nothing`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let gate = Latch()
        let task = Task {
            await gate.wait()
            return await client.send(request("POST", server.url))
        }
        task.cancel()
        gate.open()
        let ended = await task.value.words
        #expect(ended == "not sent: cancelled")
        #expect(server.requests.isEmpty)
        await client.close()
    }

    @Test func `closing ends what is on its way and refuses what comes`() async throws {
        let received = Latch()
        let server = try RawServer { connection in
            if connection.request() != nil { received.open() }
            connection.awaitClose()
        }
        let client = EgressClient()
        let task = Task { await client.send(request("POST", server.url)) }
        await received.wait()
        await client.close()
        let ended = await task.value.words
        #expect(ended == "ambiguous: closed")
        #expect(await client.send(request("POST", server.url)).words == "not sent: closed")
        await client.close()
    }

    @Test func `two hundred requests at once get their own answers`() async throws {
        let server = try RawServer { connection in
            while let request = connection.request() {
                guard connection.answer(request.target) else { return }
            }
        }
        let client = EgressClient()
        await withTaskGroup(of: (Int, EgressOutcome).self) { group in
            for number in 0..<200 {
                group.addTask { (number, await client.send(request("GET", server.url + "/\(number)"))) }
            }
            for await (number, outcome) in group {
                #expect(outcome.text == "/\(number)", "\(outcome.words) \(outcome.failure?.message ?? "")")
            }
        }
        #expect(server.requests.count == 200)
        await client.close()
    }
}
