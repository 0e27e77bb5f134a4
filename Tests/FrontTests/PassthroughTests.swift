import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// The passthrough as an app uses it.
@Suite struct PassthroughTests {
    @Test func `an expired token costs one refresh, however many call at once`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict-family")
            let key = try await world.connected("sandbox-strict-family").string("key")
            // As if the hour had gone by, here and at the provider.
            world.sandbox.state.advanceClock(by: 4000)
            try await world.pool.execute(
                .init(
                    "age", "update evergrant.connections set access_expires_at = access_expires_at - interval '4000 s'")
            )
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<50 {
                    group.addTask { try await world.pass("GET", "/me", connection: key).status }
                }
                for try await status in group { #expect(status == 200) }
            }
            let grant = try #require(world.sandbox.state.grants().first)
            #expect(grant.refreshes == 1)
            #expect(grant.maximumInFlight == 1)
        }
    }

    @Test func `a token that the provider no longer takes costs one refresh and one retry`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let key = try await world.connected("sandbox-windowed").string("key")
            world.sandbox.state.advanceClock(by: 4000)  // the provider's clock only: we still believe in the token
            try await withThrowingTaskGroup(of: Answer.self) { group in
                for index in 0..<50 {
                    group.addTask {
                        try await world.pass(
                            "POST", "/echo/x?\(index)", connection: key, body: Array("body \(index)".utf8))
                    }
                }
                for try await answer in group { #expect(answer.status == 200, "\(answer.text)") }
            }
            #expect(try #require(world.sandbox.state.grants().first).refreshes == 1)
        }
    }

    @Test func `a 401 to a body too large to keep goes down, and says that the connection was refreshed`() async throws
    {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let key = try await world.connected("sandbox-windowed").string("key")
            world.sandbox.state.advanceClock(by: 4000)
            let large = [UInt8](repeating: 65, count: 200_000)
            let first = try await world.pass("POST", "/echo/x", connection: key, body: large)
            #expect(first.status == 401)
            #expect(first.headers["evergrant-refreshed"] == "true")
            let second = try await world.pass("POST", "/echo/x", connection: key, body: large)
            #expect(second.status == 200, "\(second.text)")
            #expect(second.text.contains("200000"), "\(second.text)")
            #expect(try #require(world.sandbox.state.grants().first).refreshes == 1)
        }
    }

    @Test func `any method, large bodies and large answers go through unchanged`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"] {
                let answer = try await world.pass(method, "/x", connection: key)
                #expect(answer.text.hasPrefix("\(method) /base/v1/x"), "\(method): \(answer.status) \(answer.text)")
            }
            let head = try await world.pass("HEAD", "/x", connection: key)
            #expect(head.status == 200)
            let body = [UInt8](repeating: 66, count: 3_000_000)
            let up = try await world.pass("PUT", "/x", connection: key, body: body)
            #expect(up.text.contains("body: 3000000 bytes"), "\(up.text)")
            try await world.enable("sandbox-windowed")
            let sandbox = try await world.connected("sandbox-windowed").string("key")
            for query in ["bytes=5000000", "bytes=5000000&chunked=1"] {
                let down = try await world.pass("GET", "/large?\(query)", connection: sandbox)
                #expect(down.body.count == 5_000_000)
            }
        }
    }

    @Test func `the identity and its type must be the connection's`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            for (header, status) in [
                ("user/user-1", 200), ("user/user%2D1", 200), ("team/user-1", 404), ("user/user-2", 404), ("user", 400),
                ("robot/user-1", 400),
            ] {
                let answer = try await world.pass(
                    "GET", "/x", connection: key, headers: [("evergrant-identity", header)])
                #expect(answer.status == status, "\(header): \(answer.text)")
            }
        }
    }

    @Test func `a call without a usable connection says why, as a problem of ours`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            let missing = try await world.call("GET", "/v1/passthrough/x")
            #expect(missing.code == "connection_missing")
            #expect(missing.headers["evergrant-error"] == "connection_missing")
            let malformed = try await world.pass("GET", "/x", connection: "nonsense")
            #expect(malformed.status == 400)
            let live = try await world.pass("GET", "/x", connection: key.replacing("test::", with: "live::"))
            #expect(live.code == "connection_not_found")
            let other = try await world.pass(
                "GET", "/x", connection: key.replacing("placed-header", with: "placed-query"))
            #expect(other.code == "connection_not_found")
            let id = try await world.call("GET", "/v1/connections").json["data"] as? [[String: Any]]
            let deleted = try await world.call("DELETE", "/v1/connections/\(try #require(id?.first?["id"] as? String))")
            #expect(deleted.status == 200)
            let gone = try await world.pass("GET", "/x", connection: key)
            #expect(gone.code == "connection_deleted")
            #expect(gone.status == 410)
        }
    }

    @Test func `a provider that cannot be reached is a 502 of ours, not an answer of theirs`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let key = try await world.connected("sandbox-windowed").string("key")
            try await world.fault("lost_answer", endpoint: "api")
            let answer = try await world.pass("POST", "/echo/x", connection: key)
            #expect(answer.status == 502)
            #expect(answer.headers["evergrant-error"] == "provider_unreachable")
        }
    }

    @Test func `uses are counted by key and connection`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            for _ in 0..<7 { _ = try await world.pass("GET", "/x", connection: key) }
            let count = try await eventually {
                let row = try await world.pool.execute(
                    .init(
                        "uses",
                        """
                        select coalesce(sum(count), 0)::bigint from evergrant.audit
                        where action = 'passthrough' and actor like 'key:key_%'
                        """)
                ).first
                let uses: Int64 = try #require(row).decode(Int64.self)
                return uses == 7 ? uses : nil
            }
            #expect(count == 7)
        }
    }
}

extension FrontWorld {
    /// Adds a fault at the sandbox.
    func fault(_ kind: String, endpoint: String, more: String = "") async throws {
        let answer = try await Answer.of(
            egress, "POST", sandboxBase + "/control/faults", [("content-type", "application/json")],
            Array(#"{"kind":"\#(kind)","endpoint":"\#(endpoint)","count":1\#(more)}"#.utf8))
        try #require(answer.status < 300, "\(answer.text)")
    }
}

/// Asks again until there is an answer, for at most ten seconds.
func eventually<T>(_ ask: () async throws -> T?) async throws -> T {
    let end = ContinuousClock.now + .seconds(10)
    while true {
        if let answer = try await ask() { return answer }
        try #require(ContinuousClock.now < end, "nothing came within ten seconds")
        try await Task.sleep(for: .milliseconds(20))
    }
}
