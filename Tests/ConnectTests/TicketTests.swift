import Connect
import Credentials
import Foundation
import Postgres
import Store
import Testing
import Vault

/// Tickets: the right to one embedded session that has no row yet.
@Suite struct TicketTests {
    @Test func `a ticket becomes a session at its first use, the same one ever after`() async throws {
        try await ConnectWorld.with { world in
            let identity = try Identity(type: .team, value: "équipe 7")
            let ticket = try await world.flow.ticket(
                for: identity, name: "mine", tags: ["a"], environmentID: world.environment.id, actor: "key:test")
            let before = try await world.sessionCount()
            #expect(before == 0)
            let sessions = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<6 { group.addTask { try await world.flow.embedded(token: ticket).uid } }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(sessions.count == 1)
            let after = try await world.sessionCount()
            #expect(after == 1)
            let session = try await world.flow.embedded(token: ticket)
            #expect(session.identity == identity)
            #expect(session.name == "mine" && session.tags == ["a"])
            #expect(session.kind == .embedded)
        }
    }

    @Test func `a ticket that was altered, cut, or moved to another environment is none`() async throws {
        try await ConnectWorld.with { world in
            let ticket = try await world.flow.ticket(
                for: Identity(type: .user, value: "u"), name: "", tags: [], environmentID: world.environment.id,
                actor: "key:test"
            ).revealedText()
            let other = try #require(try await Environments.insert(name: "other", mode: .test, in: world.pool))
            let forged = [
                String(ticket.dropLast(4)) + "AAAA", String(ticket.dropLast(30)), "egt_", "egt_1_", "egt_x_AAAA",
                ticket.replacing("egt_\(world.environment.id)_", with: "egt_\(other.id)_"),
            ]
            for text in forged {
                let error = await #expect(throws: ConnectError.self, "\(text.prefix(12))") {
                    _ = try await world.flow.embedded(token: Secret(text))
                }
                #expect(error?.code == .sessionUnknown)
            }
            let count = try await world.sessionCount()
            #expect(count == 0)
        }
    }
}

extension ConnectWorld {
    fileprivate func sessionCount() async throws -> Int {
        let rows = try await pool.execute(.init("count sessions", "select count(*) from evergrant.connect_sessions"))
        let count: Int64 = try #require(rows.first).decode(Int64.self)
        return Int(count)
    }
}
