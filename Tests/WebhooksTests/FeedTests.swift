import Foundation
import Postgres
import Store
import Testing

@testable import Webhooks

@Suite(.timeLimit(.minutes(5))) struct FeedTests {
    @Test func `the feed filters by type and connection, and its reader goes on beyond what was filtered out`()
        async throws
    {
        try await WebhookFixture.run { fixture in
            let first = try await fixture.breakConnection("first")
            try await fixture.breakConnection("second")
            try await fixture.dispatch()
            func page(types: [String]? = nil, connection: Int64? = nil, limit: Int = 100) async throws -> FeedPage {
                try #require(
                    try await Events.page(
                        environmentID: fixture.environmentID, after: nil, types: types, connectionID: connection,
                        limit: limit, in: fixture.pool))
            }
            let broken = try await page(types: ["connection.broken"])
            #expect(broken.events.map(\.position) == [2, 4] && broken.next == 4 && broken.newest == 4)
            let one = try await page(types: ["connection.created"], limit: 1)
            #expect(one.events.map(\.position) == [1] && one.next == 1)
            #expect(try await page(connection: first).events.map(\.position) == [1, 2])
            let nothing = try await page(types: ["connection.revoked"])
            #expect(nothing.events.isEmpty && nothing.next == 4)
            #expect(try await Events.page(environmentID: 99, after: 0, in: fixture.pool) == nil)
        }
    }

    @Test
    func `pruning moves the feed's beginning, stops at what is still to be delivered, and keeps breaks that stand`()
        async throws
    {
        try await WebhookFixture.run(answers: [.status(500)]) { fixture in
            let stands = try await fixture.breakConnection("stands")
            let heals = try await fixture.breakConnection("heals")
            try await fixture.dispatch()
            let made = try await fixture.endpoint(types: ["connection.degraded"])
            try await fixture.run("update evergrant.connections set state = 'degraded' where id = \(heals)")
            try await fixture.run("update evergrant.connections set state = 'active' where id = \(heals)")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(try await Events.prune(olderThan: .seconds(3600), pool: fixture.pool) == 0)
            // Position 5, the degradation, waits for its next try.
            #expect(try await Events.prune(olderThan: .zero, pool: fixture.pool) == 4)
            let page = try #require(
                try await Events.page(environmentID: fixture.environmentID, after: nil, in: fixture.pool))
            #expect(page.pruned == 4 && page.events.map(\.position) == [5, 6])
            let left = try await fixture.value(
                "select count(*) from evergrant.events where position <= 4", as: Int.self)
            #expect(left == 1)
            try await fixture.elapse()
            await fixture.jobsEnd(1)
            #expect(try await fixture.deliveries(made.endpoint, .delivered).count == 1)
            #expect(try await Events.prune(olderThan: .zero, pool: fixture.pool) == 2)
            #expect(try await fixture.deliveries(made.endpoint).isEmpty)
            // The break is told to an endpoint that comes back, although the feed no longer has it.
            try await fixture.run("update evergrant.webhook_endpoints set types = null, created_at = '2000-01-01'")
            try await fixture.run("update evergrant.webhook_endpoints set disabled_at = now()")
            try await fixture.endpoint(types: ["connection.broken"])
            await fixture.jobsEnd(1)
            #expect(fixture.receiver.requests.last?.type == "connection.broken")
            try await fixture.run("update evergrant.connections set state = 'active' where id = \(stands)")
            _ = try await Events.prune(olderThan: .seconds(3600), pool: fixture.pool)
            #expect(try await fixture.value("select count(*) from evergrant.events", as: Int.self) == 1)
        }
    }

    @Test func `ended deliveries are pruned after their time, pending ones stay`() async throws {
        try await WebhookFixture.run(answers: [.status(204), .status(500)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.created"])
            try await fixture.breakConnection("first")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            try await fixture.breakConnection("second")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(try await Deliveries.prune(olderThan: .seconds(3600), in: fixture.pool) == 0)
            #expect(try await Deliveries.prune(olderThan: .zero, in: fixture.pool) == 1)
            #expect(try await fixture.deliveries(made.endpoint).map(\.state) == [.pending])
        }
    }

    @Test func `a sequencer that dies midway leaves no gap, no repeat and no delivery without its place`() async throws
    {
        struct Killed: Error {}
        try await WebhookFixture.run { fixture in
            let endpoint = try await fixture.endpoint(types: ["*"]).endpoint
            for n in 1...10 { try await fixture.breakConnection("user-\(n)") }
            // It has placed events and made deliveries, and its transaction ends with it.
            await #expect(throws: Killed.self) {
                try await fixture.pool.transaction { transaction in
                    let (events, deliveries) = try await Events.sequence(limit: 7, in: transaction)
                    #expect(events == 7 && deliveries.count == 7)
                    throw Killed()
                }
            }
            #expect(try await fixture.value("select count(*) from evergrant.deliveries", as: Int.self) == 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { while try await fixture.dispatcher.dispatch(limit: 3) > 0 {} } }
                try await group.waitForAll()
            }
            try await fixture.dispatch()
            let feed = try await Events.feed(environmentID: fixture.environmentID, after: 0, in: fixture.pool)
            #expect(feed.map(\.position) == (1...20).map { Int64($0) })
            #expect(try await fixture.deliveries(endpoint).count == 20)
            await fixture.jobsEnd(20)
        }
    }
}
