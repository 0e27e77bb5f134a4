import Logging
import Metrics
import Synchronization
import Testing

@testable import Egress

@Suite(.timeLimit(.minutes(1)))
struct ClientTests {
    @Test func `outcomes are counted by kind and timed`() async throws {
        let server = try RawServer { connection in
            while let request = connection.request() {
                if request.target == "/cut" { return }
                guard connection.answer() else { return }
            }
        }
        let factory = CountingFactory()
        let client = EgressClient(
            configuration: EgressConfiguration(), logger: Logger(label: "egress.tests"), metricsFactory: factory)
        for _ in 0..<3 { _ = await client.send(request("GET", server.url)) }
        _ = await client.stream(request("GET", server.url))
        _ = await client.send(request("POST", server.url + "/cut") { $0.freshConnection = true })
        _ = await client.send(request("GET", server.url, policy: .publicOnly))
        _ = await client.send(request("GET", "no url"))
        await client.close()
        #expect(
            factory.totals == [
                "egress_requests_total outcome=answered": 4, "egress_requests_total outcome=ambiguous": 1,
                "egress_requests_total outcome=not_sent": 2, "egress_duration_seconds": 7,
            ])
    }

    @Test func `a client that is dropped closes its connections`() async throws {
        let closed = Latch()
        let server = try RawServer { connection in
            _ = connection.request()
            connection.answer()
            connection.awaitClose()
            closed.open()
        }
        do {
            let client = EgressClient()
            #expect(await client.send(request("GET", server.url)).words == "answered 200")
        }
        await closed.wait()
    }

    @Test func `a connection that was idle for too long is not used again`() async throws {
        let server = try RawServer { $0.answerAll() }
        let silent = try RawServer { connection in
            _ = connection.request()
            connection.awaitClose()
        }
        let client = EgressClient(EgressConfiguration(connectionIdleLimit: .seconds(1)))
        #expect(await client.send(request("GET", server.url)).words == "answered 200")
        // Passes the time, with whole seconds to be counted.
        let wait = await client.send(request("GET", silent.url) { $0.timeout = .milliseconds(2_200) })
        #expect(wait.words == "ambiguous: timed_out")
        #expect(await client.send(request("GET", server.url)).words == "answered 200")
        #expect(server.connections == 2)
        await client.close()
    }

    @Test func `many clients can be opened and closed at once`() async throws {
        let server = try RawServer { $0.answerAll() }
        await withTaskGroup(of: String.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    let client = EgressClient()
                    async let outcome = client.send(request("POST", server.url))
                    async let closing: Void = client.close()
                    _ = await closing
                    return await outcome.words
                }
            }
            // Whoever came first, there is an end, and it is true.
            for await words in group {
                #expect(
                    ["answered 200", "not sent: closed", "ambiguous: closed"].contains(words), "\(words)")
            }
        }
    }
}

/// Adds up what is counted and how often is timed.
private final class CountingFactory: MetricsFactory {
    private let counts = Mutex<[String: Int]>([:])

    var totals: [String: Int] { counts.withLock { $0 } }

    private func handler(_ label: String, _ dimensions: [(String, String)]) -> Handler {
        Handler(name: ([label] + dimensions.map { "\($0)=\($1)" }).joined(separator: " "), factory: self)
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler { handler(label, dimensions) }
    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler { handler(label, dimensions) }
    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        NOOPMetricsHandler.instance
    }
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}

    private final class Handler: CounterHandler, TimerHandler {
        let name: String
        let factory: CountingFactory

        init(name: String, factory: CountingFactory) {
            self.name = name
            self.factory = factory
        }

        func increment(by amount: Int64) { factory.counts.withLock { $0[name, default: 0] += Int(amount) } }
        func reset() {}
        func recordNanoseconds(_ duration: Int64) { factory.counts.withLock { $0[name, default: 0] += 1 } }
    }
}
