import Foundation
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct TLSTests {
    /// Runs `body` with a client that trusts the server's authority.
    private func withServer(
        trusting: Bool = true, _ body: (EgressClient, TLSServer) async throws -> Void
    ) async throws {
        let server = try TLSServer()
        defer { server.stop() }
        let client = EgressClient(
            EgressConfiguration(certificateAuthorityFile: trusting ? server.authority : nil))
        try await body(client, server)
        await client.close()
    }

    @Test func `over TLS requests go by HTTP 2, many on one connection`() async throws {
        try await withServer { client, server in
            #expect(await client.send(request("GET", server.url + "/protocol")).text == "HTTP/2.0")
            // Not POST: see `RequestPlan.sharesConnection`.
            #expect(await client.send(request("POST", server.url + "/protocol")).text == "HTTP/1.1")
            let connections = await withTaskGroup(of: String?.self) { group in
                for _ in 0..<50 {
                    group.addTask { await client.send(request("GET", server.url + "/connection")).text }
                }
                return await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            #expect(connections.count == 1)
            #expect(!connections.contains(nil))
        }
    }

    @Test func `a burst to a new host waits for one connection`() async throws {
        try await withServer { client, server in
            let connections = await withTaskGroup(of: String?.self) { group in
                for _ in 0..<20 {
                    group.addTask { await client.send(request("GET", server.url + "/connection")).text }
                }
                return await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            #expect(connections.count == 1)
        }
    }

    @Test func `fresh connections are fresh over HTTP 2 too`() async throws {
        try await withServer { client, server in
            var seen: Set<String?> = []
            for _ in 0..<3 {
                seen.insert(
                    await client.send(request("GET", server.url + "/connection") { $0.freshConnection = true }).text)
            }
            #expect(seen.count == 3)
        }
    }

    @Test func `a server that retires connections leaves no POST ambiguous`() async throws {
        let server = try TLSServer(requestsPerConnection: 10)
        defer { server.stop() }
        let client = EgressClient(EgressConfiguration(certificateAuthorityFile: server.authority))
        let outcomes = await withTaskGroup(of: EgressOutcome.self) { group in
            for _ in 0..<300 {
                group.addTask {
                    await client.send(request("POST", server.url + "/method", body: .bytes([1, 2, 3])))
                }
            }
            return await group.reduce(into: [String: Int]()) { $0[$1.text ?? $1.words, default: 0] += 1 }
        }
        #expect(outcomes == ["POST 3": 300])
        #expect(try server.requests("/method") == 300, "none arrived twice")
        await client.close()
    }

    @Test func `a server that retires connections is no trouble for what may be repeated`() async throws {
        let server = try TLSServer(requestsPerConnection: 10)
        defer { server.stop() }
        let client = EgressClient(EgressConfiguration(certificateAuthorityFile: server.authority))
        let outcomes = await withTaskGroup(of: EgressOutcome.self) { group in
            for _ in 0..<300 {
                group.addTask {
                    await client.send(request("GET", server.url + "/protocol") { $0.retriesIdempotent = true })
                }
            }
            return await group.reduce(into: [String: Int]()) { $0[$1.text ?? $1.words, default: 0] += 1 }
        }
        #expect(outcomes == ["HTTP/2.0": 300])
        await client.close()
    }

    @Test func `methods and bodies go out over HTTP 2`() async throws {
        try await withServer { client, server in
            let bytes = [UInt8](repeating: 7, count: 500_000)
            #expect(
                await client.send(request("PUT", server.url + "/method", body: .bytes(bytes))).text == "PUT 500000")
            #expect(await client.send(request("HEAD", server.url + "/method")).words == "answered 200")
            let parts = AsyncThrowingStream<[UInt8], any Error> { parts in
                for _ in 0..<8 { parts.yield([UInt8](repeating: 1, count: 100_000)) }
                parts.finish()
            }
            let outcome = await client.send(
                request("PUT", server.url + "/method", body: .stream(parts, length: 800_000)))
            #expect(outcome.text == "PUT 800000")
            let refused = await client.send(request("PUT", server.url + "/denied", body: .bytes(bytes)))
            #expect(refused.words == "answered 401", "before the body is read")
        }
    }

    @Test func `a large answer streams over HTTP 2 beside other requests`() async throws {
        try await withServer { client, server in
            let block = Data((0..<1_048_576).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let file = server.directory.appending(path: "large")
            var data = Data()
            for _ in 0..<16 { data.append(block) }
            try data.write(to: file)
            let (head, body) = try await client.stream(request("GET", server.url + "/large")).answer()
            #expect(head.headers["content-length"] == "\(16 << 20)")
            // The stream is paused by now, and shares its connection with these.
            for _ in 0..<20 { #expect(await client.send(request("GET", server.url + "/protocol")).text == "HTTP/2.0") }
            let all = try await body.collect(upTo: 16 << 20)
            #expect(Data(all) == data)
        }
    }

    @Test func `an unknown authority is not sent`() async throws {
        try await withServer(trusting: false) { client, server in
            let outcome = await client.send(request("POST", server.url + "/method?secret=hush"))
            #expect(outcome.words == "not sent: tls")
            #expect(outcome.failure?.message.contains("certificate") == true)
            #expect(outcome.failure?.message.contains("hush") == false)
        }
    }

    @Test func `a certificate for another name is not sent`() async throws {
        try await withServer { client, server in
            let outcome = await client.send(request("POST", "https://127.0.0.1:\(server.port)/method"))
            #expect(outcome.words == "not sent: tls")
        }
    }

    @Test func `an authority file that is missing is not sent`() async throws {
        try await withServer { _, server in
            let client = EgressClient(EgressConfiguration(certificateAuthorityFile: "/nowhere/ca.pem"))
            #expect(await client.send(request("POST", server.url + "/method")).words == "not sent: tls")
            await client.close()
        }
    }
}
