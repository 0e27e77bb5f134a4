import Synchronization
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct StreamTests {
    @Test func `the head comes before the body is there`() async throws {
        let headRead = Latch()
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n")
            connection.write("HTTP/1.1 206 Partial Content\r\nX-Kind: stream\r\nContent-Length: 5\r\n\r\n")
            headRead.block()
            connection.write("later")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (head, body) = try await client.stream(request("GET", server.url)).answer()
        #expect(head.status == 206)
        #expect(head.headers["x-kind"] == "stream")
        #expect(head.headers["x-hint"] == nil)
        headRead.open()
        #expect(try await body.collect(upTo: 5) == Array("later".utf8))
        await client.close()
    }

    @Test func `chunks come down one by one as they are sent`() async throws {
        let read = [Latch(), Latch(), Latch()]
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for (number, latch) in read.enumerated() {
                connection.write("5\r\ndata\(number)\r\n")
                latch.block()
            }
            connection.write("0\r\nX-Trailer: 1\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (head, body) = try await client.stream(request("GET", server.url)).answer()
        var iterator = body.makeAsyncIterator()
        for (number, latch) in read.enumerated() {
            #expect(try await iterator.next() == Array("data\(number)".utf8))
            latch.open()
        }
        #expect(try await iterator.next() == nil)
        #expect(try await iterator.next() == nil, "the end stays the end")
        #expect(head.headers["x-trailer"] == nil)
        await client.close()
    }

    @Test func `a slow reader holds the server back`() async throws {
        let total = 64 << 20
        let stalled = Latch()
        let written = Mutex(0)
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            let block = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            for _ in 0..<(total / block.count) {
                guard connection.write(block, stalled: stalled) else { return }
                written.withLock { $0 += block.count }
            }
            connection.awaitClose()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url)).answer()
        await stalled.wait()
        // The buffer's 256 KiB, and what the kernel keeps for two sockets on loopback (tcp_wmem and tcp_rmem: 4 and 6 MiB).
        #expect(written.withLock { $0 } < 16 << 20)
        var count = 0
        var longest = 0
        var isIntact = true
        for try await bytes in body {
            longest = max(longest, bytes.count)
            isIntact = isIntact && bytes[0] == UInt8(truncatingIfNeeded: count % 65_536 &* 31)
            count += bytes.count
        }
        #expect(count == total)
        #expect(isIntact)
        #expect(longest <= ResponseBuffer.highWater + 16_384)
        await client.close()
    }

    @Test func `another request goes through while a stream is held back`() async throws {
        let stalled = Latch()
        let server = try RawServer { connection in
            guard let request = connection.request() else { return }
            if request.target == "/quick" {
                connection.answer()
                return connection.awaitClose()
            }
            connection.write("HTTP/1.1 200 OK\r\n\r\n")
            while connection.write([UInt8](repeating: 0, count: 65_536), stalled: stalled) {}
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url + "/slow")).answer()
        await stalled.wait()
        #expect(await client.send(request("GET", server.url + "/quick")).words == "answered 200")
        withExtendedLifetime(body) {}
        await client.close()
    }

    @Test func `a cut body ends the stream with a failure after the bytes that came`() async throws {
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!")
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url)).answer()
        let end = await ending(body)
        #expect(end.bytes == 5)
        #expect(end.failure?.code == .truncated)
        await client.close()
    }

    @Test func `a reset inside the body ends the stream with a failure`() async throws {
        let headRead = Latch()
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            headRead.block()
            connection.reset()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url)).answer()
        headRead.open()
        #expect(await ending(body).failure?.code == .reset)
        await client.close()
    }

    @Test func `a head that does not come is ambiguous after the timeout, a slow body is not`() async throws {
        let headRead = Latch()
        let server = try RawServer { connection in
            guard connection.request()?.target == "/body" else { return connection.awaitClose() }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            headRead.block()
            connection.write("late")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(
            request("GET", server.url + "/body") { $0.timeout = .milliseconds(500) }
        )
        .answer()
        let silent = await client.stream(request("GET", server.url + "/none") { $0.timeout = .milliseconds(600) })
        #expect(silent.words == "ambiguous: timed_out")
        headRead.open()
        #expect(try await body.collect(upTo: 4) == Array("late".utf8), "its own timeout is over by now")
        await client.close()
    }

    @Test func `silence inside the body ends the stream after the idle timeout`() async throws {
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url) { $0.idleTimeout = .seconds(1) }).answer()
        #expect(await ending(body).failure?.code == .timedOut)
        await client.close()
    }

    @Test func `a reader that takes its time is not silence`() async throws {
        let stalled = Latch()
        let server = try RawServer { connection in
            guard connection.request()?.target == "/large" else { return connection.awaitClose() }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(32 << 20)\r\n\r\n")
            connection.write([UInt8](repeating: 1, count: 32 << 20), stalled: stalled)
            connection.awaitClose()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url + "/large") { $0.idleTimeout = .seconds(1) })
            .answer()
        await stalled.wait()
        // Passes the time.
        let wait = await client.send(request("GET", server.url + "/none") { $0.timeout = .milliseconds(2_500) })
        #expect(wait.words == "ambiguous: timed_out")
        let end = await ending(body)
        #expect(end.failure == nil)
        #expect(end.bytes == 32 << 20)
        await client.close()
    }

    @Test func `dropping the body closes its connection`() async throws {
        let closed = Latch()
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!")
            connection.awaitClose()
            closed.open()
        }
        let client = EgressClient()
        do {
            let (head, _) = try await client.stream(request("GET", server.url)).answer()
            #expect(head.status == 200)
        }
        await closed.wait()
        await client.close()
    }

    @Test func `cancelling the reader closes the connection and throws`() async throws {
        let headSent = Latch()
        let closed = Latch()
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            headSent.open()
            connection.awaitClose()
            closed.open()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url)).answer()
        let reader = Task { await ending(body) }
        await headSent.wait()
        reader.cancel()
        #expect(await reader.value.failure?.code == .cancelled)
        await closed.wait()
        await client.close()
    }

    @Test func `closing the client ends a stream`() async throws {
        let server = try RawServer { connection in
            _ = connection.request()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", server.url)).answer()
        await client.close()
        #expect(await ending(body).failure?.code == .closed)
    }

    @Test(arguments: ["204 No Content", "304 Not Modified", "200 OK"])
    func `an answer without a body is an empty stream`(status: String) async throws {
        let server = try RawServer { connection in
            while connection.request() != nil {
                connection.write("HTTP/1.1 \(status)\r\n\(status.hasPrefix("2") ? "Content-Length: 0\r\n" : "")\r\n")
            }
        }
        let client = EgressClient()
        for method in ["GET", "HEAD"] {
            let (_, body) = try await client.stream(request(method, server.url)).answer()
            #expect(try await body.collect(upTo: 0) == [])
        }
        #expect(server.connections == 1, "the connection is kept")
        await client.close()
    }

    @Test func `a stream that fails before its head is not sent or ambiguous, as for send`() async throws {
        let server = try RawServer { _ = $0.request() }
        let client = EgressClient()
        #expect(await client.stream(request("GET", server.url)).words == "ambiguous: empty_answer")
        #expect(
            await client.stream(request("GET", server.url, policy: .publicOnly)).words == "not sent: address_refused")
        await client.close()
    }

    @Test func `an idempotent stream is repeated on a fresh connection when it asks for that`() async throws {
        let server = try RawServer { connection in
            guard connection.request() != nil, connection.answer() else { return }
            _ = connection.request()
        }
        let client = EgressClient()
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let (head, body) = try await client.stream(request("GET", server.url) { $0.retriesIdempotent = true }).answer()
        #expect(head.status == 200)
        #expect(try await body.collect(upTo: 10) == Array("ok".utf8))
        #expect(server.requests.count == 3)
        await client.close()
    }
}
