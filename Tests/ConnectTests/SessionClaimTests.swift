import Connect
import Credentials
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing
import Vault

/// A session is claimed before a code is redeemed, by one.
@Suite struct SessionClaimTests {
    @Test func `of many claims at once one wins, and its loser may try after the release`() async throws {
        try await ConnectWorld.with { world in
            let (session, _) = try await world.opened()
            let nonces = (0..<20).map { _ in UUID() }
            let won = try await withThrowingTaskGroup(of: UUID?.self) { group in
                for nonce in nonces {
                    group.addTask {
                        try await ConnectSessions.claim(id: session.id, nonce: nonce, for: .seconds(60), in: world.pool)
                            ? nonce : nil
                    }
                }
                return try await group.reduce(into: [UUID]()) { if let nonce = $1 { $0.append(nonce) } }
            }
            #expect(won.count == 1)
            // Another's nonce releases nothing.
            try await ConnectSessions.release(id: session.id, nonce: UUID(), in: world.pool)
            #expect(try await !ConnectSessions.claim(id: session.id, nonce: UUID(), for: .seconds(60), in: world.pool))
            try await ConnectSessions.release(id: session.id, nonce: try #require(won.first), in: world.pool)
            #expect(try await ConnectSessions.claim(id: session.id, nonce: UUID(), for: .seconds(60), in: world.pool))
        }
    }

    @Test func `a claim whose deadline has passed is taken over`() async throws {
        try await ConnectWorld.with { world in
            let (session, _) = try await world.opened()
            #expect(try await ConnectSessions.claim(id: session.id, nonce: UUID(), for: .seconds(60), in: world.pool))
            try await world.run("update evergrant.connect_sessions set claim_deadline = now() - interval '1 s'")
            #expect(try await ConnectSessions.claim(id: session.id, nonce: UUID(), for: .seconds(60), in: world.pool))
        }
    }

    @Test func `a callback while another window is at it redeems nothing`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened()
            let query = try await world.consent(session, browser)
            #expect(try await ConnectSessions.claim(id: session.id, nonce: UUID(), for: .seconds(60), in: world.pool))
            await #expect {
                _ = try await world.flow.callback(integration: "sandbox-strict-family", query: query, browser: browser)
            } throws: { ($0 as? ConnectError)?.code == .sessionBusy }
            #expect(world.sandbox.state.grants().isEmpty)
        }
    }

    @Test func `a session is held by eight browsers at most`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened()
            for _ in 1..<ConnectSessions.maximumBrowsers {
                #expect(
                    try await ConnectSessions.open(id: session.id, browser: SecureRandom.bytes(32), in: world.pool)
                        != nil)
            }
            #expect(
                try await ConnectSessions.open(id: session.id, browser: SecureRandom.bytes(32), in: world.pool) == nil)
            #expect(try await ConnectSessions.open(id: session.id, browser: browser.hash, in: world.pool) != nil)
        }
    }

    @Test func `a connection that waited in vain for its finish is given up, others are kept`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened(finish: true)
            let query = try await world.consent(session, browser)
            let pending = try await world.flow.callback(
                integration: "sandbox-strict-family", query: query, browser: browser)
            #expect(pending.connection.state == .pending)
            let (other, otherBrowser) = try await world.opened()
            let done = try await world.flow.callback(
                integration: "sandbox-strict-family", query: try await world.consent(other, otherBrowser),
                browser: otherBrowser)
            #expect(done.connection.state == .active)

            var deleted: [Int64] = []
            try await world.flow.sweep { deleted.append($0) }
            #expect(deleted.isEmpty)
            try await world.run(
                """
                update evergrant.connect_sessions set finish_expires_at = now() - interval '1 s'
                where finish_expires_at is not null
                """)
            try await world.flow.sweep { deleted.append($0) }
            #expect(deleted == [pending.connection.id])
        }
    }

    @Test func `what has ended is pruned, what has not is kept`() async throws {
        try await ConnectWorld.with { world in
            let (old, browser) = try await world.opened()
            _ = try await world.consent(old, browser)
            _ = try await world.opened()
            try await world.run(
                "update evergrant.connect_sessions set expires_at = now() - interval '3 days' where id = \(old.id)")
            try await world.flow.sweep { _ in }
            #expect(try await world.count("select count(*) from evergrant.connect_sessions") == 1)
            #expect(try await world.count("select count(*) from evergrant.authorization_requests") == 0)
        }
    }
}
