import Connect
import Credentials
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// Grants that users give and nothing comes of.
@Suite(.timeLimit(.minutes(5))) struct StrayGrantTests {
    private func alive(_ world: ConnectWorld) -> [String: Bool] {
        Dictionary(world.sandbox.state.grants().map { ($0.account, $0.alive) }, uniquingKeysWith: { $0 || $1 })
    }

    @Test func `the grant of another account is refused, and revoked where it spares the others`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            let error = await #expect(throws: ConnectError.self) {
                try await world.connected(account: "bob@example.com", reconnecting: first.connection.uid)
            }
            #expect(error?.code == .accountMismatch)
            #expect(alive(world) == ["ann@example.com": true, "bob@example.com": false])
            #expect(try await world.count("select count(*) from evergrant.stray_grants") == 0)
            let row = try #require(try await Connections.find(id: first.connection.id, in: world.pool))
            #expect(row.grantID == first.connection.grantID && row.state == .active)
        }
    }

    @Test func `the grant of another account stays where a living connection would lose its own`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            try await world.connected(identity: "user-2", account: "bob@example.com")
            await #expect(throws: ConnectError.self) {
                try await world.connected(account: "bob@example.com", reconnecting: first.connection.uid)
            }
            #expect(alive(world) == ["ann@example.com": true, "bob@example.com": true])
        }
    }

    @Test func `a grant that could not be revoked at once is revoked by a later sweep`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            try await world.control(
                "faults", #"{"class":"strict-family","endpoint":"revoke","kind":"5xx_before","count":1}"#)
            await #expect(throws: ConnectError.self) {
                try await world.connected(account: "bob@example.com", reconnecting: first.connection.uid)
            }
            #expect(alive(world)["bob@example.com"] == true)
            #expect(try await world.count("select count(*) from evergrant.stray_grants") == 1)
            try await world.run("update evergrant.stray_grants set next_attempt_at = now()")
            try await world.flow.sweep { _ in }
            #expect(alive(world) == ["ann@example.com": true, "bob@example.com": false])
            #expect(try await world.count("select count(*) from evergrant.stray_grants") == 0)
        }
    }

    @Test func `a reconnect whose finish never comes has its new grant revoked`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            try await world.run("update evergrant.connections set account_id = null")
            try await world.connected(account: "bob@example.com", finish: true, reconnecting: first.connection.uid)
            try await world.flow.sweep { _ in }
            #expect(alive(world)["bob@example.com"] == true)
            try await world.run(
                "update evergrant.connect_sessions set finish_expires_at = now() - interval '2 minutes'")
            try await world.flow.sweep { _ in }
            #expect(alive(world) == ["ann@example.com": true, "bob@example.com": false])
            #expect(
                try await world.count(
                    "select count(*) from evergrant.connect_sessions where held_grant is not null") == 0)
            let row = try #require(try await Connections.find(id: first.connection.id, in: world.pool))
            #expect(row.grantID == first.connection.grantID && row.state == .active)
        }
    }

    @Test func `an unfinished reconnect of the same account leaves the old grant alive`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            try await world.connected(finish: true, reconnecting: first.connection.uid)
            try await world.run(
                "update evergrant.connect_sessions set finish_expires_at = now() - interval '2 minutes'")
            try await world.flow.sweep { _ in }
            // `kills: grant`: nothing tells that the new grant is not the old one's.
            #expect(world.sandbox.state.grants().map(\.alive) == [true, true])
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct AccountGrantTests {
    @Test func `a second consent of the same account renews the connection in place`() async throws {
        try await ConnectWorld.with(onePerAccount: true) { world in
            let first = try await world.connected()
            let second = try await world.connected()
            #expect(second.connection.id == first.connection.id)
            #expect(second.connection.key == first.connection.key)
            #expect(second.connection.grantID != first.connection.grantID)
            #expect(second.connection.state == .active)
            #expect(try await world.count("select count(*) from evergrant.connections") == 1)
        }
    }

    @Test func `another identity's connection of the account is told at once that it was superseded`() async throws {
        try await ConnectWorld.with(onePerAccount: true) { world in
            let first = try await world.connected()
            let other = try await world.connected(account: "bob@example.com")
            let second = try await world.connected(identity: "user-2")
            let older = try #require(try await Connections.find(id: first.connection.id, in: world.pool))
            #expect(older.state == .broken && older.reason == .superseded)
            #expect(second.connection.id != first.connection.id && second.connection.state == .active)
            let untouched = try #require(try await Connections.find(id: other.connection.id, in: world.pool))
            #expect(untouched.state == .active)
            #expect(
                try await world.count(
                    """
                    select count(*) from evergrant.events where type = 'connection.broken'
                        and payload #>> '{connection,reason}' = 'superseded' and connection_id = \(older.id)
                    """) == 1)
            // Its user takes the account back: the same id and key, and now the other one is told.
            let again = try await world.connected(reconnecting: older.uid)
            #expect(again.connection.id == older.id && again.connection.state == .active)
            let newer = try #require(try await Connections.find(id: second.connection.id, in: world.pool))
            #expect(newer.state == .broken && newer.reason == .superseded)
        }
    }

    @Test func `where a finish is required the account is renewed by it, and strangers are told at the consent`()
        async throws
    {
        try await ConnectWorld.with(onePerAccount: true) { world in
            let first = try await world.connected()
            let stranger = try await world.connected(identity: "user-2", finish: true)
            let older = try #require(try await Connections.find(id: first.connection.id, in: world.pool))
            #expect(older.reason == .superseded)
            #expect(stranger.connection.state == .pending)
            let held = try await world.connected(finish: true)
            #expect(held.connection.id == first.connection.id)
            let url = try #require(held.returnURL).revealedText()
            let code = try #require(url.split(separator: "evergrant_code=").last)
            let confirmed = try await world.flow.confirm(
                session: held.session.uid, environmentID: world.environment.id, code: Secret(String(code)),
                identity: try Identity(type: .user, value: "user-1"), actor: "test")
            #expect(confirmed.id == first.connection.id && confirmed.state == .active)
        }
    }

    @Test func `at other providers two connections of an account live side by side`() async throws {
        try await ConnectWorld.with { world in
            let first = try await world.connected()
            let second = try await world.connected(identity: "user-2")
            #expect(first.connection.id != second.connection.id)
            #expect(try await world.count("select count(*) from evergrant.connections where state = 'active'") == 2)
        }
    }
}
