import Credentials
import Foundation
import Pacing
import Store
import Testing
import Vault

@testable import Webhooks

@Suite struct DeliverWebhookTests {
    @Test func `a break is one signed POST with the whole connection`() async throws {
        try await WebhookFixture.run { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            let secret = try #require(made.secret)
            try await fixture.breakConnection("ann@example.com")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)

            let request = try #require(fixture.receiver.requests.first)
            #expect(fixture.receiver.requests.count == 1)
            #expect(request.line == "POST /hook HTTP/1.1")
            #expect(request.headers["content-type"] == "application/json")
            try request.verify(secret)
            let event = try #require(request.event)
            #expect(event["type"] as? String == "connection.broken")
            #expect(event["id"] as? String == request.headers["webhook-id"])
            let data = event["data"] as? [String: Any], connection = data?["connection"] as? [String: Any]
            #expect(connection?["identity"] as? String == "ann@example.com")
            #expect(connection?["state"] as? String == "broken" && connection?["reason"] as? String == "refused")
            #expect(connection?["version"] as? Int == 2 && data?["previous_state"] as? String == "active")

            let delivery = try #require(try await fixture.deliveries(made.endpoint).first)
            #expect(delivery.state == .delivered && delivery.attempts == 1 && delivery.lastStatus == 204)
            #expect(delivery.eventUID == request.headers["webhook-id"] && delivery.deliveredAt != nil)
        }
    }

    @Test func `an answer lost after the receiver took the event brings the same id again`() async throws {
        try await WebhookFixture.run(answers: [.loseAnswer, .status(500), .status(200)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(try await fixture.deliveries(made.endpoint, .pending).count == 1)
            for _ in 0..<2 {
                try await fixture.elapse()
                await fixture.jobsEnd(1)
            }
            let requests = fixture.receiver.requests
            #expect(requests.count == 3)
            #expect(Set(requests.map { $0.headers["webhook-id"] }).count == 1)
            #expect(Set(requests.map(\.body)).count == 1)
            for request in requests { try request.verify(try #require(made.secret)) }
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .delivered).first)
            #expect(delivery.attempts == 3 && delivery.lastError == nil)
            let log = try JSONSerialization.jsonObject(with: Data(delivery.log)) as? [[String: Any]]
            #expect(log?.map { $0["status"] as? Int } == [nil, 500, 200])
            #expect((log?.first?["error"] as? String)?.hasPrefix("empty_answer") == true)
            #expect(log?.allSatisfy { $0["ms"] is Int && $0["at"] is String } == true)
        }
    }

    @Test func `410 disables the endpoint, keeps the event, and enabling it tells the break that still stands`()
        async throws
    {
        try await WebhookFixture.run(answers: [.status(410)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection("first")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let disabled = try await fixture.endpointNow()
            #expect(disabled.disabledAt != nil && disabled.disabledReason == "it answered 410 Gone")
            let refused = try #require(try await fixture.deliveries(made.endpoint, .failed).first)
            #expect(refused.lastStatus == 410 && refused.attempts == 1)

            // What happens meanwhile gets no delivery but stays in the feed.
            try await fixture.breakConnection("second")
            let healed = try await fixture.breakConnection("third")
            try await fixture.run(
                "update evergrant.connections set state = 'active', reason = null where id = \(healed)")
            try await fixture.dispatch()
            #expect(try await fixture.deliveries(made.endpoint).count == 1)
            let feed = try await Events.feed(environmentID: fixture.environmentID, after: 0, in: fixture.pool)
            #expect(feed.map(\.position) == (1...8).map { Int64($0) })
            #expect(feed.filter { $0.type == "connection.broken" }.count == 3)

            let enabled = try await fixture.endpoint(types: ["connection.broken"])
            #expect(enabled.secret == nil && enabled.endpoint.disabledAt == nil)
            await fixture.jobsEnd(2)
            #expect(try await fixture.deliveries(made.endpoint, .delivered).count == 2)
            let told = fixture.receiver.requests.dropFirst().compactMap { $0.headers["webhook-id"] }
            #expect(told.count == 2 && told.contains(refused.eventUID))
            for request in fixture.receiver.requests { try request.verify(try #require(made.secret)) }
        }
    }

    @Test func `Retry-After is honoured in seconds and as a date`() async throws {
        let date = "Fri, 31 Dec 2100 23:59:59 GMT"
        let script: [WebhookReceiver.Answer] = [
            .status(503, headers: ["Retry-After: 7200"]), .status(429, headers: ["Retry-After: \(date)"]),
        ]
        try await WebhookFixture.run(answers: script) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .pending).first)
            let wait = try #require(delivery.nextAttemptAt).timeIntervalSince(Date())
            #expect((7100...7200).contains(wait))
            #expect(try await fixture.value("select count(*) from evergrant.jobs_scheduled", as: Int.self) == 1)

            try await fixture.elapse()
            await fixture.jobsEnd(1)
            // Longer than the three days that are left: the last try is made at their end.
            let next = try #require(try await fixture.deliveries(made.endpoint, .pending).first?.nextAttemptAt)
            let end = try await fixture.value("select deliver_until from evergrant.deliveries", as: Date.self)
            #expect(abs(next.timeIntervalSince(end)) < 1)
        }
    }

    @Test func `after three days a delivery is given up, and the next success tells its break again`() async throws {
        try await WebhookFixture.run(answers: [.status(500), .status(500)]) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection("first")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            try await fixture.run("update evergrant.deliveries set deliver_until = now()")
            try await fixture.elapse()
            await fixture.jobsEnd(1)
            let failed = try #require(try await fixture.deliveries(made.endpoint, .failed).first)
            #expect(failed.attempts == 2 && failed.lastError == "answered 500" && failed.nextAttemptAt == nil)
            #expect(try await fixture.endpointNow().failingSince != nil)

            try await fixture.breakConnection("second")
            try await fixture.dispatch()
            await fixture.jobsEnd(2)
            #expect(try await fixture.deliveries(made.endpoint, .delivered).count == 2)
            #expect(fixture.receiver.requests.last?.headers["webhook-id"] == failed.eventUID)
            #expect(try await fixture.endpointNow().failingSince == nil)
        }
    }

    @Test func `during a rotation both secrets verify, afterwards only the new one`() async throws {
        try await WebhookFixture.run { fixture in
            let old = try #require(try await fixture.endpoint(types: ["connection.broken"]).secret)
            let rotated = try await fixture.editor.rotateSecret(name: "main", environmentID: fixture.environmentID)
            let new = try #require(rotated.secret)
            #expect(rotated.endpoint.secretVersion == 2 && rotated.endpoint.previousUntil != nil)
            try await fixture.breakConnection("first")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            try fixture.receiver.requests[0].verify(old)
            try fixture.receiver.requests[0].verify(new)

            try await fixture.run("update evergrant.webhook_endpoints set previous_until = now()")
            try await fixture.breakConnection("second")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            try fixture.receiver.requests[1].verify(new)
            #expect(throws: StandardWebhooksSignature.Refusal.noMatchingSignature) {
                try fixture.receiver.requests[1].verify(old)
            }
        }
    }

    @Test func `a receiver that does not answer ends the try at its time-out, and it is made again`() async throws {
        try await WebhookFixture.run(answers: [.hang], configure: { $0.timeout = .milliseconds(300) }) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .pending).first)
            #expect(delivery.lastError?.hasPrefix("timed_out") == true && delivery.lastStatus == nil)
        }
    }

    @Test func `a receiver inside is refused unless its network is listed`() async throws {
        try await WebhookFixture.run(configure: { $0.networks = [] }) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .pending).first)
            #expect(delivery.lastError?.hasPrefix("address_refused") == true)
            #expect(fixture.receiver.requests.isEmpty)
        }
    }

    @Test func `an event that is too large is given up at once`() async throws {
        try await WebhookFixture.run(configure: { $0.maximumBodyBytes = 400 }) { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .failed).first)
            #expect(delivery.lastError?.contains("bytes, more than 400; read it from the feed") == true)
            #expect(fixture.receiver.requests.isEmpty)
        }
    }

    @Test func `a secret that does not open is our failure: no try is counted and nothing is sent`() async throws {
        try await WebhookFixture.run { fixture in
            let made = try await fixture.endpoint(types: ["connection.broken"])
            let sealed = try await fixture.value("select secret from evergrant.webhook_endpoints", as: [UInt8].self)
            try await fixture.run("update evergrant.webhook_endpoints set secret_version = 9")
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let delivery = try #require(try await fixture.deliveries(made.endpoint, .pending).first)
            #expect(delivery.attempts == 0 && fixture.receiver.requests.isEmpty)
            #expect(!sealed.isEmpty)
            try await fixture.run("update evergrant.webhook_endpoints set secret_version = 1")
            // The job's own retry comes by the queue.
            while try await fixture.deliveries(made.endpoint, .delivered).isEmpty {
                try await fixture.elapse()
                await fixture.jobsEnd(1)
            }
            #expect(fixture.receiver.requests.count == 1)
        }
    }
}
