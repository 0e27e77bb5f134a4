import Pacing
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct SendOnceTests {
    /// Answers the first request of a connection; of later ones it reads the request and closes without an answer.
    private func closingServer() throws -> RawServer {
        try RawServer { connection in
            guard connection.request() != nil, connection.answer() else { return }
            _ = connection.request()
        }
    }

    /// The requests for `/refresh` after one other request has left a kept-alive connection behind.
    private func refreshOnKeptConnection(
        _ configuration: EgressConfiguration, _ change: (inout EgressRequest) -> Void = { _ in }
    ) async throws -> (outcome: EgressOutcome, server: RawServer) {
        let server = try closingServer()
        let client = EgressClient(configuration)
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let body = EgressBody.bytes(Array("refresh_token=one".utf8))
        let outcome = await client.send(request("POST", server.url + "/refresh", body: body, change))
        await client.close()
        return (outcome, server)
    }

    @Test func `a POST whose kept-alive connection dies before the answer reaches the server once`() async throws {
        let (outcome, server) = try await refreshOnKeptConnection(EgressConfiguration())
        #expect(outcome.words == "ambiguous: resend_prevented")
        #expect(server.requests.filter { $0.target == "/refresh" }.count == 1)
        await server.accepted(2)
        #expect(server.requests.count == 2, "libcurl had the second connection ready for the resend")
    }

    @Test func `without the send hook libcurl sends that POST twice`() async throws {
        var configuration = EgressConfiguration()
        configuration.preventsResend = false
        let (outcome, server) = try await refreshOnKeptConnection(configuration)
        #expect(outcome.words == "answered 200")
        let refreshes = server.requests.filter { $0.target == "/refresh" }
        #expect(refreshes.map(\.connection) == [1, 2])
        #expect(refreshes.allSatisfy { $0.body == Array("refresh_token=one".utf8) })
    }

    @Test func `a fresh connection does not meet the kept-alive one`() async throws {
        let (outcome, server) = try await refreshOnKeptConnection(EgressConfiguration()) { $0.freshConnection = true }
        #expect(outcome.words == "answered 200")
        #expect(server.requests.filter { $0.target == "/refresh" }.map(\.connection) == [2])
    }

    @Test func `fresh connections are opened for each request and not kept`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        for _ in 1...3 {
            let outcome = await client.send(
                request("POST", server.url, body: .bytes([1])) { $0.freshConnection = true })
            #expect(outcome.words == "answered 200")
        }
        #expect(server.connections == 3)
        #expect(await client.send(request("GET", server.url)).words == "answered 200")
        #expect(server.connections == 4)
        #expect(await client.send(request("GET", server.url)).words == "answered 200")
        #expect(server.connections == 4, "an ordinary connection is kept")
        await client.close()
    }

    @Test func `past its moment a request is not sent, though the connection stands`() async throws {
        let server = try RawServer { $0.answerAll() }
        let client = EgressClient()
        let late = BootInstant.now().advanced(by: .milliseconds(-1))
        #expect(await client.send(request("POST", server.url) { $0.sendBy = late }).words == "not sent: send_deadline")
        let early = BootInstant.now().advanced(by: .seconds(5))
        #expect(await client.send(request("POST", server.url) { $0.sendBy = early }).words == "answered 200")
        #expect(server.requests.count == 1)
        await client.close()
    }

    @Test(arguments: ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    func `an idempotent request may be repeated on a fresh connection when it asks for that`(method: String)
        async throws
    {
        let server = try closingServer()
        let client = EgressClient()
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let outcome = await client.send(request(method, server.url + "/again") { $0.retriesIdempotent = true })
        #expect(outcome.words == "answered 200")
        #expect(server.requests.filter { $0.target == "/again" }.count == 2)
        await client.close()
    }

    @Test func `a POST is never repeated, whatever it asks for`() async throws {
        let (outcome, server) = try await refreshOnKeptConnection(EgressConfiguration()) { $0.retriesIdempotent = true }
        #expect(outcome.words == "ambiguous: resend_prevented")
        #expect(server.requests.filter { $0.target == "/refresh" }.count == 1)
    }

    @Test func `an idempotent request is not repeated after a byte of the answer`() async throws {
        let server = try RawServer { connection in
            guard connection.request() != nil, connection.answer() else { return }
            if connection.request() != nil { connection.write("HTTP/1.1 200 OK\r\n") }
        }
        let client = EgressClient()
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let outcome = await client.send(request("GET", server.url + "/again") { $0.retriesIdempotent = true })
        #expect(outcome.words == "ambiguous: truncated")
        #expect(server.requests.filter { $0.target == "/again" }.count == 1)
        await client.close()
    }

    @Test func `a reset of a kept-alive connection is ambiguous for a POST and sends it once`() async throws {
        let server = try RawServer { connection in
            guard connection.request() != nil, connection.answer() else { return }
            _ = connection.request()
            connection.reset()
        }
        let client = EgressClient()
        #expect(await client.send(request("GET", server.url + "/first")).words == "answered 200")
        let outcome = await client.send(request("POST", server.url + "/refresh", body: .bytes([1, 2, 3])))
        #expect(outcome.words == "ambiguous: resend_prevented")
        #expect(server.requests.filter { $0.target == "/refresh" }.count == 1)
        await client.close()
    }
}
