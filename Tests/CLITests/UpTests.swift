import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// `evergrant up` as a person uses it: real processes, a real private database.
@Suite(.serialized) struct `The whole fleet on one machine` {
    @Test func `it starts, says what to try, stops on Ctrl-C, and finds its data again`() async throws {
        let home = try UpHome()
        defer { home.remove() }

        let first = try home.start()
        let greeting = try await first.line { $0.hasPrefix("  3. ") }
        #expect(greeting.count < 20)
        let keys = greeting.compactMap { line in
            line.firstMatch(of: /eg_test_[A-Za-z0-9_-]{43}/).map { String($0.output) }
        }
        let key = try #require(keys.first)
        #expect(greeting.contains { $0.contains("/connect#") })
        #expect(greeting.contains { $0.contains("made .evergrant/keyring") })
        for secret in ["keyring", "api-key"] { #expect(try home.mode(of: secret) == 0o600) }
        #expect(try await home.get("/v1/connections", key: key) == 200)
        #expect(try await home.get("/v1/connections", key: "eg_test_nothing") == 401)
        first.send(SIGINT)
        #expect(await first.end() == 0)
        #expect(first.lines.contains { $0.hasPrefix("stopped; the next start finds its data") })

        let second = try home.start()
        let again = try await second.line { $0.hasPrefix("  3. ") }
        #expect(again.contains { $0.contains(key) }, "the same key")
        #expect(!again.contains { $0.contains("(new;") || $0.contains("made .evergrant/keyring") })

        // A second fleet in the same directory would share the sandbox's state.
        let intruder = try home.start(ports: try UpHome.Ports())
        #expect(await intruder.end() == 69)
        #expect(intruder.lines.last?.contains("another `evergrant up` runs in") == true)

        // A fleet elsewhere on the same ports is told which one is taken.
        let elsewhere = try UpHome()
        defer { elsewhere.remove() }
        let late = try elsewhere.start(ports: home.ports)
        #expect(await late.end() == 69)
        #expect(
            late.lines.last?.contains(
                "port \(home.ports.front) on 127.0.0.1 is taken; free it, or choose another by --front-port") == true)

        // Nothing outlives a supervisor that is killed.
        let children = again.compactMap { line in line.firstMatch(of: /pid (\d+)/).flatMap { Int32($0.output.1) } }
        #expect(children.count == 4)
        second.send(SIGKILL)
        _ = await second.end()
        for child in children { try await UpHome.waitUntilGone(child) }
    }

    @Test func `a child that is killed is started again`() async throws {
        let home = try UpHome()
        defer { home.remove() }
        let fleet = try home.start()
        let greeting = try await fleet.line { $0.hasPrefix("  3. ") }
        let workers = greeting.compactMap { line in
            line.firstMatch(of: /worker +pid (\d+)/).flatMap { Int32($0.output.1) }
        }
        let worker = try #require(workers.first)
        try await home.waitForLog("worker", count: 1, of: "job runner started")
        kill(worker, SIGKILL)
        let news = try await fleet.line { $0.hasPrefix("worker ") }.last ?? ""
        #expect(news.contains("worker was ended by signal 9; starting it again in 200ms"), "\(news)")
        #expect(news.contains(".evergrant/log/worker.log"))
        try await home.waitForLog("worker", count: 2, of: "job runner started")
        fleet.send(SIGTERM)
        #expect(await fleet.end() == 0)
    }
}
