import Foundation
import Postgres
import Queue
import Store
import Testing

@testable import Webhooks

@Suite(.timeLimit(.minutes(5))) struct ReplayTests {
    @Test func `a delivery that ended is sent again under its own webhook-id, with a new round of tries`() async throws
    {
        try await WebhookFixture.run(answers: [.status(204), .status(500), .status(204)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let first = try #require(try await fixture.deliveries(made.endpoint, .delivered).first)
            #expect(try await fixture.dispatcher.redeliver(deliveryID: first.id))
            await fixture.jobsEnd(1)
            let again = try #require(try await fixture.deliveries(made.endpoint, .pending).first)
            #expect(again.id == first.id && again.attempts == 2 && again.replayedAt != nil && again.deliveredAt == nil)
            // The backoff begins anew: the first wait of a round is at most 5 s.
            let next = try #require(again.nextAttemptAt)
            #expect(next.timeIntervalSinceNow <= 5)
            // Asked for again while it waits for its backoff: tried at once.
            #expect(try await fixture.dispatcher.redeliver(deliveryID: first.id))
            await fixture.jobsEnd(1)
            #expect(try await fixture.deliveries(made.endpoint, .delivered).first?.attempts == 3)
            #expect(Set(fixture.receiver.requests.map { $0.headers["webhook-id"] }) == [first.eventUID])
        }
    }

    @Test func `a disabled endpoint is sent nothing again until it is enabled`() async throws {
        try await WebhookFixture.run { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint).first)
            let operations = WebhookEndpointOperations(
                pool: fixture.pool, queue: fixture.queue, configuration: fixture.configuration)
            let disabled = try await operations.disable(
                name: "main", reason: "moving", environmentID: fixture.environmentID, actor: "cli")
            #expect(disabled?.disabledReason == "moving")
            #expect(try await !fixture.dispatcher.redeliver(deliveryID: delivery.id))
            var range = ReplayRange()
            range.after = 0
            let refused = try await fixture.dispatcher.replay(range, endpointID: made.endpoint.id)
            #expect(refused.count == 0)
            let enabled = try await operations.enable(
                name: "main", environmentID: fixture.environmentID, actor: "cli")
            #expect(enabled?.disabledAt == nil)
            let sent = try await fixture.dispatcher.replay(range, endpointID: made.endpoint.id)
            #expect(sent.count == 1)
            await fixture.jobsEnd(1)
            #expect(fixture.receiver.requests.count == 2)
            let actions = try await Audit.list(environmentID: fixture.environmentID, in: fixture.pool).map(\.action)
            #expect(
                actions == ["enable_webhook_endpoint", "disable_webhook_endpoint", "put_webhook_endpoint"])
        }
    }

    @Test func `a range is replayed by position, time and type, piece by piece, each event once`() async throws {
        try await WebhookFixture.run { fixture in
            // The events came before the endpoint: it was never sent any of them.
            for n in 1...6 { try await fixture.breakConnection("user-\(n)") }
            try await fixture.dispatch()
            let made = try await fixture.endpoint(types: ["connection.broken"])
            var range = ReplayRange()
            range.limit = 2
            let preview = try await Deliveries.previewReplay(range, endpointID: made.endpoint.id, in: fixture.pool)
            #expect(preview.count == 2 && preview.next == 4)
            var counts: [Int] = []
            while true {
                let (count, next) = try await fixture.dispatcher.replay(range, endpointID: made.endpoint.id)
                counts.append(count)
                guard let next else { break }
                range.after = next
            }
            #expect(counts == [2, 2, 2, 0])
            await fixture.jobsEnd(6)
            #expect(fixture.receiver.requests.allSatisfy { $0.type == "connection.broken" })
            #expect(Set(fixture.receiver.requests.map { $0.headers["webhook-id"] }).count == 6)

            var others = ReplayRange()
            others.types = ["connection.created"]
            others.after = 2
            others.through = 6
            let some = try await fixture.dispatcher.replay(others, endpointID: made.endpoint.id)
            #expect(some.count == 2)
            await fixture.jobsEnd(2)
            #expect(fixture.receiver.requests.suffix(2).allSatisfy { $0.type == "connection.created" })

            var undelivered = ReplayRange()
            undelivered.undeliveredOnly = true
            undelivered.types = ["*"]
            let rest = try await fixture.dispatcher.replay(undelivered, endpointID: made.endpoint.id)
            #expect(rest.count == 4)
            await fixture.jobsEnd(4)
            var future = ReplayRange()
            future.since = Date().addingTimeInterval(3600)
            let none = try await fixture.dispatcher.replay(future, endpointID: made.endpoint.id)
            #expect(none.count == 0 && none.next == nil)
        }
    }

    @Test func `replays wait in lane bulk, behind what is due`() async throws {
        try await WebhookFixture.run { fixture in
            try await fixture.breakConnection()
            try await fixture.dispatch()
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.queue.pause(.kind("webhook.deliver"))
            let sent = try await fixture.dispatcher.replay(ReplayRange(), endpointID: made.endpoint.id)
            #expect(sent.count == 1)
            let lanes = try await fixture.queue.depths(cap: 100).map(\.priority)
            #expect(lanes == [3])
            try await fixture.queue.resume(.kind("webhook.deliver"))
            await fixture.jobsEnd(1)
        }
    }

    @Test func `an endpoint that hangs leaves workers to the others`() async throws {
        let hanging = try WebhookReceiver(otherwise: .hang)
        defer { hanging.stop() }
        try await WebhookFixture.run(configure: {
            $0.concurrency = 2
            $0.timeout = .seconds(120)
        }) { fixture in
            // More events than the runner has places; none of the tries ends before the test does.
            try await fixture.endpoint("hangs", types: ["connection.broken"], url: hanging.url)
            for n in 1...150 { try await fixture.breakConnection("user-\(n)") }
            try await fixture.dispatch()
            while hanging.requests.count < 2 { await Task.yield() }
            let made = try await fixture.endpoint("works", types: ["connection.broken"])
            for n in 1...5 { try await fixture.breakConnection("later-\(n)") }
            try await fixture.dispatch()
            while try await fixture.deliveries(made.endpoint, .delivered).count < 5 {}
            #expect(hanging.requests.count == 2)
            hanging.stop()
        }
    }

    @Test func `health tells success, the last of it, and what waits since when`() async throws {
        try await WebhookFixture.run(answers: [.status(204), .status(204), .status(500)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            let fresh = try await Deliveries.health(endpointID: made.endpoint.id, in: fixture.pool)
            #expect(fresh.ended == 0 && fresh.lastDeliveredAt == nil && fresh.oldestPendingAt == nil)
            for n in 1...3 {
                try await fixture.breakConnection("user-\(n)")
                try await fixture.dispatch()
                await fixture.jobsEnd(1)
            }
            let health = try await Deliveries.health(endpointID: made.endpoint.id, in: fixture.pool)
            #expect(health.ended == 2 && health.delivered == 2 && health.tries == 3 && health.pending == 1)
            #expect(health.lastDeliveredAt != nil && health.oldestPendingAt != nil && health.medianMilliseconds != nil)
        }
    }

    @Test func `a rotation ends when it is told to, and one without overlap has no second secret`() async throws {
        try await WebhookFixture.run { fixture in
            let old = try #require(try await fixture.endpoint(types: ["connection.broken"]).secret)
            _ = try await fixture.editor.rotateSecret(name: "main", environmentID: fixture.environmentID)
            let operations = WebhookEndpointOperations(
                pool: fixture.pool, queue: fixture.queue, configuration: fixture.configuration)
            let ended = try await operations.endRotation(
                name: "main", environmentID: fixture.environmentID, actor: "cli")
            #expect(ended?.previousUntil == nil)
            let hard = try await fixture.editor.rotateSecret(
                name: "main", overlap: .zero, environmentID: fixture.environmentID)
            #expect(hard.endpoint.previousUntil == nil)
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            try fixture.receiver.requests[0].verify(try #require(hard.secret))
            #expect(fixture.receiver.requests[0].headers["webhook-signature"]?.contains(" ") == false)
            #expect(throws: StandardWebhooksSignature.Refusal.noMatchingSignature) {
                try fixture.receiver.requests[0].verify(old)
            }
        }
    }
}
