import Synchronization
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct UploadTests {
    private struct Broken: Error {}

    /// A source that yields `count` chunks of 64 KiB and notes how many were asked for.
    private final class Source: AsyncSequence, Sendable {
        typealias Element = [UInt8]
        typealias Failure = any Error
        let count: Int
        let failsAfter: Int?
        let yielded = Mutex(0)

        init(_ count: Int, failsAfter: Int? = nil) {
            self.count = count
            self.failsAfter = failsAfter
        }

        func makeAsyncIterator() -> Iterator { Iterator(source: self) }

        struct Iterator: AsyncIteratorProtocol {
            let source: Source
            var number = 0

            mutating func next() async throws -> [UInt8]? {
                guard number < source.count else { return nil }
                if number == source.failsAfter { throw Broken() }
                number += 1
                source.yielded.withLock { $0 = number }
                return [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 65_536)
            }
        }
    }

    @Test(arguments: ["PUT", "POST", "PATCH"])
    func `a streamed body of known length goes out whole`(method: String) async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let outcome = await client.send(
            request(method, server.url, body: .stream(Source(40), length: 40 * 65_536)))
        #expect(outcome.words == "answered 200")
        let seen = try #require(server.requests.first)
        #expect(seen.method == method)
        #expect(seen.header("Content-Length") == "\(40 * 65_536)")
        #expect(seen.header("Expect") == nil)
        #expect(seen.body == (1...40).flatMap { [UInt8](repeating: UInt8($0), count: 65_536) })
        await client.close()
    }

    @Test func `a streamed body of unknown length is chunked`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let parts = AsyncThrowingStream<[UInt8], any Error> { parts in
            parts.yield(Array("one".utf8))
            parts.yield([])
            parts.yield(Array(" two".utf8))
            parts.finish()
        }
        let outcome = await client.send(request("POST", server.url, body: .stream(parts, length: nil)))
        #expect(outcome.words == "answered 200")
        let seen = try #require(server.requests.first)
        #expect(seen.header("Content-Length") == nil)
        #expect(seen.header("Transfer-Encoding") == "chunked")
        let wire = String(decoding: seen.body, as: UTF8.self)
        #expect(wire.contains("one") && wire.contains(" two") && wire.hasSuffix("0\r\n\r\n"))
        await client.close()
    }

    @Test func `a source that waits is waited for, while the request is on its way`() async throws {
        let begun = Latch()
        let server = try RawServer { connection in
            begun.open()
            connection.answerAll()
        }
        let client = EgressClient()
        let (parts, source) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        let task = Task { await client.send(request("PUT", server.url, body: .stream(parts, length: 4))) }
        await begun.wait()
        source.yield([1, 2])
        source.yield([3, 4])
        source.finish()
        let ended = await task.value.words
        #expect(ended == "answered 200")
        #expect(server.requests.first?.body == [1, 2, 3, 4])
        await client.close()
    }

    @Test func `a slow server holds the source back`() async throws {
        let mayRead = Latch()
        let begun = Latch()
        let server = try RawServer { connection in
            begun.open()
            mayRead.block()
            connection.answerAll()
        }
        let client = EgressClient()
        let source = Source(1_024)
        let task = Task { await client.send(request("PUT", server.url, body: .stream(source, length: 64 << 20))) }
        await begun.wait()
        // A request on the same lane takes its turn after all that libcurl could write.
        let other = try RawServer { $0.answerAll() }
        for _ in 0..<50 { #expect(await client.send(request("GET", other.url)).words == "answered 200") }
        #expect(source.yielded.withLock { $0 } < 512, "of 1024 chunks")
        mayRead.open()
        let ended = await task.value.words
        #expect(ended == "answered 200")
        #expect(server.requests.first?.body.count == 64 << 20)
        await client.close()
    }

    @Test func `a source that fails, or breaks its length, is ambiguous`() async throws {
        let bodies: [EgressBody] = [
            .stream(Source(4, failsAfter: 2), length: nil), .stream(Source(4, failsAfter: 2), length: 4 * 65_536),
            .stream(Source(2), length: 3 * 65_536), .stream(Source(1), length: 65_535), .stream(Source(0), length: 1),
        ]
        for body in bodies {
            let server = try RawServer { $0.answerAll() }
            let client = EgressClient()
            #expect(await client.send(request("PUT", server.url, body: body)).words == "ambiguous: request_body")
            await client.close()
            #expect(server.requests.count == 0, "no whole request arrived")
        }
    }

    @Test func `the answer may begin before the body of the request has ended`() async throws {
        let server = try RawServer { connection in
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            guard let request = connection.request() else { return }
            connection.write("1\r\n\(request.body.count)\r\n0\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (parts, source) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        source.yield([1])
        let (head, body) = try await client.stream(request("PUT", server.url, body: .stream(parts, length: 3))).answer()
        #expect(head.status == 200)
        source.yield([2, 3])
        source.finish()
        #expect(try await body.collect(upTo: 1) == Array("3".utf8))
        await client.close()
    }

    @Test func `an answer that refuses the body ends its source`() async throws {
        let ended = Latch()
        let server = try RawServer { connection in
            connection.write("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.awaitClose()
        }
        let client = EgressClient()
        let (parts, source) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        source.onTermination = { _ in ended.open() }
        source.yield([1])
        let outcome = await client.send(request("PUT", server.url, body: .stream(parts, length: nil)))
        #expect(outcome.words == "answered 413")
        await ended.wait()
        await client.close()
    }

    @Test func `a streamed body that never left is not sent, and its source is ended`() async throws {
        let ended = Latch()
        let client = EgressClient()
        let (parts, source) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        source.onTermination = { _ in ended.open() }
        let outcome = await client.send(
            request("PUT", "http://10.0.0.1/", body: .stream(parts, length: nil), policy: .publicOnly))
        #expect(outcome.words == "not sent: address_refused")
        await ended.wait()
        await client.close()
    }

    @Test func `a streamed body is never sent again on a stale connection`() async throws {
        let server = try RawServer { connection in
            guard connection.request() != nil, connection.answer() else { return }
            _ = connection.request()
        }
        let client = EgressClient()
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let body = EgressBody.stream(Source(1), length: 65_536)
        let outcome = await client.send(request("PUT", server.url + "/up", body: body) { $0.retriesIdempotent = true })
        #expect(outcome.words == "ambiguous: resend_prevented")
        #expect(server.requests.filter { $0.target == "/up" }.count == 1)
        await client.close()
    }

    @Test func `what comes down can go up: one answer streams into another request`() async throws {
        let upper = try RawServer { $0.answerAll(String(repeating: "x", count: 3 << 20)) }
        let lower = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let (_, body) = try await client.stream(request("GET", upper.url)).answer()
        let outcome = await client.send(request("PUT", lower.url, body: .stream(body, length: 3 << 20)))
        #expect(outcome.words == "answered 200")
        #expect(lower.requests.first?.body.count == 3 << 20)
        await client.close()
    }
}
