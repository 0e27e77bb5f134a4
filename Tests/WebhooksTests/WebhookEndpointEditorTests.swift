import Credentials
import Foundation
import Store
import Testing
import Vault

@testable import Webhooks

@Suite struct WebhookEndpointEditorTests {
    @Test func `an endpoint is made once, its secret told once, and put again it keeps the secret`() async throws {
        try await WebhookFixture.run { fixture in
            let made = try await fixture.endpoint()
            let secret = try #require(made.secret)
            #expect(made.endpoint.uid.hasPrefix("ep_") && made.endpoint.secretVersion == 1)
            let again = try await fixture.editor.put(
                name: "main", url: "https://example.com/hook", types: ["connection.broken"],
                environmentID: fixture.environmentID)
            #expect(again.secret == nil && again.endpoint.id == made.endpoint.id)
            #expect(again.endpoint.url == "https://example.com/hook" && again.endpoint.types == ["connection.broken"])

            let sealed = try await fixture.value("select secret from evergrant.webhook_endpoints", as: [UInt8].self)
            #expect(sealed.firstRange(of: secret.key.revealed()) == nil)
            #expect(sealed.firstRange(of: secret.text.revealed()) == nil)
            let place = SealContext.webhookSecret(
                environmentID: fixture.environmentID, endpointUID: made.endpoint.uid, version: 1)
            #expect(try await fixture.vault.open(sealed, place) == secret.text)
        }
    }

    @Test func `many puts of one name at once make one endpoint`() async throws {
        try await WebhookFixture.run { fixture in
            let secrets = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<10 { group.addTask { try await fixture.endpoint().secret != nil } }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(secrets == 1)
            #expect(
                try await WebhookEndpoints.list(environmentID: fixture.environmentID, in: fixture.pool).count == 1)
        }
    }

    @Test func `rotations at once follow each other, and the last two secrets sign`() async throws {
        try await WebhookFixture.run { fixture in
            try await fixture.endpoint()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        _ = try await fixture.editor.rotateSecret(
                            name: "main", environmentID: fixture.environmentID)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.endpointNow().secretVersion == 5)
            await #expect(throws: InvalidValue.self) {
                try await fixture.editor.rotateSecret(name: "none", environmentID: fixture.environmentID)
            }
        }
    }

    @Test func `an endpoint that is deleted takes its deliveries along, and their jobs end quietly`() async throws {
        try await WebhookFixture.run(answers: [.status(500)]) { fixture in
            try await fixture.endpoint(types: ["connection.broken"])
            try await fixture.breakConnection()
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            #expect(
                try await WebhookEndpoints.delete(
                    name: "main", environmentID: fixture.environmentID, in: fixture.pool))
            try await fixture.run("update evergrant.jobs_scheduled set run_at = now()")
            try await fixture.elapse()
            await fixture.jobsEnd(1)
            #expect(fixture.receiver.requests.count == 1)
            #expect(try await fixture.value("select count(*) from evergrant.deliveries", as: Int.self) == 0)
            #expect(try await fixture.value("select count(*) from evergrant.events", as: Int.self) == 2)
        }
    }
}
