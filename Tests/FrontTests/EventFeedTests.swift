import Credentials
import Foundation
import Lifecycle
import Postgres
import Store
import Testing
import Webhooks

/// The feed, deliveries and the audit over HTTP.
@Suite(.timeLimit(.minutes(5))) struct EventFeedTests {
    @Test func `a call that waits is answered when the next event comes, and with nothing at its end`() async throws {
        try await FrontWorld.with { world in
            let dispatcher = WebhookDispatcher(
                pool: world.pool, queue: world.lifecycle.queue, configuration: WebhookConfiguration())
            let empty = try await world.call("GET", "/v1/events?wait=1")
            #expect(empty.status == 200 && empty.text.contains(#""data":[]"#))
            async let waiting = world.call("GET", "/v1/events?after=0&wait=60&types=connection.broken")
            // An event that is not of its type does not end the wait.
            try await insertConnection(world)
            while try await dispatcher.dispatch() == 0 {}
            try await world.pool.execute(
                PostgresStatement("test_break", "update evergrant.connections set state = 'broken', reason = 'refused'")
            )
            while try await dispatcher.dispatch() == 0 {}
            let answer = try await waiting
            #expect(answer.text.contains("connection.broken") && !answer.text.contains("connection.created"))
            #expect(answer.text.contains(#""next_after":2"#))
        }
    }

    @Test func `a position that was pruned answers 410 with the oldest, one beyond the end 409`() async throws {
        try await FrontWorld.with { world in
            let dispatcher = WebhookDispatcher(
                pool: world.pool, queue: world.lifecycle.queue, configuration: WebhookConfiguration())
            for _ in 0..<3 { try await insertConnection(world) }
            while try await dispatcher.dispatch() > 0 {}
            #expect(try await Events.prune(olderThan: .zero, limit: 2, pool: world.pool) == 2)
            let gone = try await world.call("GET", "/v1/events?after=1")
            #expect(gone.status == 410 && gone.text.contains("feed_position_pruned"))
            #expect(gone.text.contains(#""oldest_position":3"#))
            let oldest = try await world.call("GET", "/v1/events")
            #expect(oldest.status == 200 && oldest.text.contains(#""next_after":3"#))
            let ahead = try await world.call("GET", "/v1/events?after=4")
            #expect(ahead.status == 409 && ahead.text.contains(#""newest_position":3"#))
            #expect(try await world.call("GET", "/v1/events?types=connection.lost").status == 400)
            #expect(try await world.call("GET", "/v1/events?connection=conn_1").status == 404)
        }
    }

    @Test func `deliveries are listed, shown, sent again, and of another environment not found`() async throws {
        try await FrontWorld.with { world in
            let dispatcher = WebhookDispatcher(
                pool: world.pool, queue: world.lifecycle.queue, configuration: WebhookConfiguration())
            let put = try await world.call(
                "PUT", "/v1/webhook-endpoints/main", #"{"url":"https://receiver.invalid/hook"}"#)
            #expect(put.status == 201)
            try await insertConnection(world)
            while try await dispatcher.dispatch() > 0 {}
            let list = try await world.call("GET", "/v1/deliveries?endpoint=main&state=pending")
            let id = try #require(list.text.firstMatch(of: /dlv_[0-9a-f]{32}/)?.output).description
            let event = try #require(list.text.firstMatch(of: /evt_[0-9a-f]{32}/)?.output).description
            #expect(try await world.call("GET", "/v1/deliveries?event=\(event)").text.contains(id))
            #expect(try await world.call("GET", "/v1/deliveries/\(id)").status == 200)
            #expect(try await world.call("GET", "/v1/events/\(event)").text.contains("connection.created"))
            #expect(try await world.call("POST", "/v1/deliveries/\(id)/redeliver").status == 202)
            let health = try await world.call("GET", "/v1/webhook-endpoints/main/health")
            #expect(health.text.contains(#""pending":1"#))
            let replay = try await world.call(
                "POST", "/v1/webhook-endpoints/main/replay", #"{"after":0,"types":["connection.pending"]}"#)
            #expect(replay.status == 202 && replay.text.contains(#""count":0"#))
            #expect(try await world.call("POST", "/v1/webhook-endpoints/main/replay", "{}").status == 400)
            let disabled = try await world.call(
                "POST", "/v1/webhook-endpoints/main/disable", #"{"reason":"moving"}"#)
            #expect(disabled.text.contains(#""disabled_reason":"moving""#))
            #expect(try await world.call("POST", "/v1/webhook-endpoints/main/test").status == 409)
            #expect(try await world.call("POST", "/v1/deliveries/\(id)/redeliver").status == 409)

            let other = try #require(
                try await Environments.insert(
                    name: "other", mode: .live, appName: "", redirectOrigins: [], in: world.pool))
            let key = try await FrontWorld.newKey(.full, other, in: world.pool)
            for path in ["/v1/deliveries/\(id)", "/v1/events/\(event)", "/v1/deliveries?event=\(event)"] {
                #expect(try await world.call("GET", path, key: key).status == 404)
            }
            #expect(try await world.call("POST", "/v1/deliveries/\(id)/redeliver", key: key).status == 404)
            #expect(!(try await world.call("GET", "/v1/audit", key: key).text.contains("main")))
        }
    }

    @Test func `the audit is listed page by page, and its head answered`() async throws {
        try await FrontWorld.with { world in
            for name in ["a", "b", "c"] {
                let put = try await world.call(
                    "PUT", "/v1/webhook-endpoints/\(name)", #"{"url":"https://receiver.invalid/hook"}"#)
                #expect(put.status == 201)
            }
            let page = try await world.call("GET", "/v1/audit?action=put_webhook_endpoint&limit=2")
            let cursor = try #require(page.text.firstMatch(of: /"next_cursor":"([^"]+)"/)?.output.1).description
            let rest = try await world.call("GET", "/v1/audit?action=put_webhook_endpoint&limit=2&cursor=\(cursor)")
            #expect(rest.text.matches(of: /put_webhook_endpoint/).count == 1)
            #expect(rest.text.contains(#""next_cursor":null"#))
            #expect(try await world.call("GET", "/v1/audit?cursor=x").status == 400)
            #expect(try await world.call("GET", "/v1/audit?since=yesterday").status == 400)
            let head = try await world.call("GET", "/v1/audit/head")
            #expect(head.status == 200 && head.text.contains(#""head":""#))
        }
    }

    private func insertConnection(_ world: FrontWorld) async throws {
        try await world.pool.execute(
            PostgresStatement(
                "test_insert_connection",
                """
                insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                    state, grant_id)
                values ($1, 'test', 'gmail', 'google', 'user', 'u', 'active', gen_random_uuid())
                """), [.int8(world.environment.id)])
    }
}
