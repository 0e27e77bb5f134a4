import Foundation
import Postgres
import Store
import Testing

@testable import Webhooks

@Suite struct WebhookDispatcherTests {
    @Test func `an endpoint gets the types it named, all of them for a star, and the usual ones for none`() async throws
    {
        try await WebhookFixture.run { fixture in
            let usual = try await fixture.endpoint("usual").endpoint
            let all = try await fixture.endpoint("all", types: ["*"]).endpoint
            let few = try await fixture.endpoint("few", types: ["connection.degraded"]).endpoint
            let id = try await fixture.breakConnection()
            for state in ["active", "degraded", "active"] {
                try await fixture.run("update evergrant.connections set state = '\(state)' where id = \(id)")
            }
            try await fixture.dispatch()
            func types(_ endpoint: WebhookEndpointRecord) async throws -> [String] {
                try await fixture.deliveries(endpoint).map(\.eventType)
            }
            #expect(try await types(usual) == ["connection.created", "connection.broken", "connection.recovered"])
            #expect(
                try await types(all) == [
                    "connection.created", "connection.broken", "connection.recovered", "connection.degraded",
                    "connection.restored",
                ])
            #expect(try await types(few) == ["connection.degraded"])
            await fixture.jobsEnd(9)
            #expect(fixture.receiver.requests.count == 9)
        }
    }

    @Test func `the operator's events reach endpoints that name them, and no other`() async throws {
        try await WebhookFixture.run { fixture in
            let all = try await fixture.endpoint("all", types: ["*"]).endpoint
            let usual = try await fixture.endpoint("usual").endpoint
            let operators = try await fixture.endpoint("operators", types: Events.operators).endpoint
            for type in Events.operators {
                try await fixture.run(
                    """
                    insert into evergrant.events (environment_id, type, payload)
                    select id, '\(type)', '{}' from evergrant.environments order by id limit 1
                    """)
            }
            try await fixture.dispatch()
            func types(_ endpoint: WebhookEndpointRecord) async throws -> [String] {
                try await fixture.deliveries(endpoint).map(\.eventType)
            }
            #expect(try await types(all) == [])
            #expect(try await types(usual) == [])
            #expect(try await types(operators) == Events.operators)
        }
    }

    @Test func `the feed has no gap and no repeat, however many sequencers run at once`() async throws {
        try await WebhookFixture.run { fixture in
            let endpoint = try await fixture.endpoint(types: ["connection.broken"]).endpoint
            let other = try await WebhookFixture.insertEnvironment("other", in: fixture.pool)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<4 {
                    group.addTask {
                        for step in 0..<25 {
                            try await fixture.breakConnection(
                                "user-\(number)-\(step)", environmentID: step.isMultiple(of: 5) ? other : nil)
                        }
                    }
                    group.addTask { for _ in 0..<40 { _ = try await fixture.dispatcher.dispatch(limit: 7) } }
                }
                try await group.waitForAll()
            }
            try await fixture.dispatch()
            for (environment, count) in [(fixture.environmentID, 160), (other, 40)] {
                let feed = try await Events.feed(
                    environmentID: environment, after: 0, limit: 1000, in: fixture.pool)
                #expect(feed.map(\.position) == (1...Int64(count)).map { $0 })
                // For one connection the order is that of its versions.
                for events in Dictionary(grouping: feed, by: \.connectionID).values {
                    #expect(events.map(\.type) == ["connection.created", "connection.broken"])
                }
            }
            #expect(
                try await fixture.value("select count(*) from evergrant.deliveries", as: Int.self) == 80)
            await fixture.jobsEnd(80)
            #expect(Set(fixture.receiver.requests.map { $0.headers["webhook-id"] }).count == 80)
            #expect(try await fixture.deliveries(endpoint, .pending).isEmpty)
        }
    }

    @Test func `events of one environment never reach the endpoints of another`() async throws {
        try await WebhookFixture.run { fixture in
            let other = try await WebhookFixture.insertEnvironment("other", in: fixture.pool)
            try await fixture.endpoint(types: ["*"])
            try await fixture.breakConnection(environmentID: other)
            try await fixture.dispatch()
            #expect(try await fixture.value("select count(*) from evergrant.deliveries", as: Int.self) == 0)
            #expect(try await Events.feed(environmentID: other, after: 0, in: fixture.pool).count == 2)
            #expect(
                try await Events.feed(environmentID: fixture.environmentID, after: 0, in: fixture.pool).isEmpty)
        }
    }

    @Test func `a delivery whose job went missing gets another, one whose job lives does not`() async throws {
        try await WebhookFixture.run(answers: [.status(500, headers: ["Retry-After: 3600"])]) { fixture in
            let endpoint = try await fixture.endpoint(types: ["connection.broken"]).endpoint
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(try await fixture.dispatcher.sweep() == 0)
            // As after a restore: the queue's tables are empty, the delivery is there.
            try await fixture.run("delete from evergrant.jobs_scheduled")
            try await fixture.run("delete from evergrant.job_keys")
            try await fixture.run("update evergrant.deliveries set next_attempt_at = now() - interval '1 hour'")
            #expect(try await fixture.dispatcher.sweep() == 1)
            #expect(try await fixture.dispatcher.sweep() == 0)
            await fixture.jobsEnd(1)
            #expect(try await fixture.deliveries(endpoint, .delivered).count == 1)
            #expect(fixture.receiver.requests.count == 2)
        }
    }

    @Test func `a test event reaches its endpoint and no other`() async throws {
        try await WebhookFixture.run { fixture in
            try await fixture.endpoint("other", types: ["*"])
            let endpoint = try await fixture.endpoint().endpoint
            #expect(try await fixture.dispatcher.sendTest(endpointID: endpoint.id))
            #expect(try await fixture.dispatcher.sendTest(endpointID: 999) == false)
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(fixture.receiver.requests.map(\.type) == ["webhook.test"])
            #expect(try await fixture.value("select count(*) from evergrant.deliveries", as: Int.self) == 1)
        }
    }
}
