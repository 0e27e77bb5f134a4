import Credentials
import Escrow
import Foundation
import LifecycleSupport
import Logging
import Pacing
import Postgres
import Sandbox
import Store
import TestSupport
import Testing

@testable import Lifecycle

/// A failover to a standby that lacks the last commits, as the rows and the journals see it. The failover itself, with
/// two clusters, is in the fleet's tests.
@Suite(.timeLimit(.minutes(5))) struct ServerChangeTests {
    private static var timings: LifecycleTimings {
        var timings = LifecycleWorld.timings
        timings.attemptLength = .milliseconds(300)
        timings.sendWithin = .milliseconds(100)
        timings.requestTimeout = .milliseconds(200)
        return timings
    }

    @Test func `a server that is the same holds nothing`() async throws {
        try await LifecycleWorld.with { world in
            let sight = try await world.services.server.look(world.services)
            #expect(sight.hold == nil)
            let again = try await world.services.server.look(world.services)
            #expect(again.epoch == sight.epoch)
            #expect(again.hold == nil)
            let connection = try await world.connect("strict-family")
            #expect(try await world.refresh(connection) == .refreshed)
        }
    }

    @Test(arguments: ["strict", "strict-family", "until-used", "windowed"])
    func `commits that a failover lost are given back from the journal, and nothing is presented before`(
        provider: String
    ) async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let connection = try await world.connect(provider)
            _ = try await world.services.server.look(world.services)
            let past = try await world.photograph(connection)
            for _ in 0..<3 { #expect(try await world.refresh(connection) == .refreshed) }
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            try await world.failOver(to: past, of: connection)
            #expect(try await world.row(connection).generation == 1)

            // The mark's own statement sees it: nobody had to be told.
            let before = try world.refreshes(connection)
            guard case .trouble(.ourTrouble, _) = try await world.refresh(connection) else {
                Issue.record("a rotating token was about to be presented")
                return
            }
            #expect(try world.refreshes(connection) == before)
            #expect(world.services.server.takeSuspicion())

            try await world.makeGood()
            let row = try await world.row(connection)
            #expect(row.generation == 4)
            #expect(row.state == .active)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            try await world.pool.execute(
                PostgresStatement("ready", "update evergrant.connections set retest_at = null"))
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.row(connection).reason == nil)
        }
    }

    /// With and without the hold: what it is for.
    @Test(arguments: [ProtocolGuards.all, ProtocolGuards.all.subtracting(.hold)])
    func `a refresh that overtakes the replay presents a spent token and loses the grant`(
        guards: ProtocolGuards
    ) async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let connection = try await world.connect("strict-family")
            _ = try await world.services.server.look(world.services)
            let past = try await world.photograph(connection)
            #expect(try await world.refresh(connection) == .refreshed)
            try await world.failOver(to: past, of: connection)
            let services = LifecycleServices(
                pool: world.pool, vault: world.vault, catalog: world.catalog, oauth: world.services.oauth,
                queue: world.services.queue, journal: world.services.journal, timings: Self.timings, owner: "hasty",
                logger: world.services.logger, guards: guards)
            let hasty = RefreshAttempts(services)
            _ = try await hasty.refresh(connectionID: connection.id, generation: nil)
            try await world.makeGood()
            let isAlive = try await world.heldRefreshTokenIsAlive(connection)
            #expect(isAlive == guards.contains(.hold))
        }
    }

    @Test func `a replayable grant goes on through a failover`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            _ = try await world.services.server.look(world.services)
            let past = try await world.photograph(connection)
            #expect(try await world.refresh(connection) == .refreshed)
            try await world.failOver(to: past, of: connection)
            #expect(try await world.refresh(connection) == .refreshed)
        }
    }

    @Test func `no refusal is believed while the server is held`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            _ = try await world.services.server.look(world.services)
            let past = try await world.photograph(connection)
            try await world.failOver(to: past, of: connection)
            _ = world.sandbox.state.revoke(account: "user@example.com")
            for _ in 0..<3 {
                guard case .trouble(.ourTrouble, _) = try await world.refresh(connection) else {
                    Issue.record("a refusal was believed")
                    return
                }
            }
            #expect(try await world.events(connection) == ["connection.created"])
        }
    }

    @Test func `an intent without an answer makes its generation ambiguous again`() async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let connection = try await world.connect("strict-app")
            _ = try await world.services.server.look(world.services)
            let past = try await world.photograph(connection)
            try await world.fault("lost_answer", at: "strict-app")
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.failOver(to: past, of: connection)
            #expect(try await world.ambiguousGeneration(connection) == nil)
            try await world.makeGood()
            #expect(try await world.ambiguousGeneration(connection) == 1)
        }
    }

    @Test func `the hold ends when the last journal has been replayed twice, and one that stays silent is named`()
        async throws
    {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let other = UUID()
            _ = try await world.services.server.look(world.services)
            try await ServerChanges.report(journal: other, owner: "worker:gone:1", epoch: 0, round: 0, in: world.pool)
            try await world.changeTimeline()
            let replay = JournalReplay(world.services) { _ in }
            for _ in 0..<4 { try await replay.step() }
            #expect(world.services.server.hold == .failover)
            let waiting = try await ServerChanges.waiting(in: world.pool)
            #expect(Set(waiting.map(\.incarnation)).isSuperset(of: [other]))
            try await ServerChanges.report(
                journal: other, owner: "worker:gone:1", epoch: 2, round: 2, in: world.pool)
            try await world.makeGood()
            #expect(world.services.server.hold == nil)

            try await world.changeTimeline()
            try await replay.step()
            let silent = try await ServerChanges.release(attempt: .zero, patience: .zero, in: world.pool)
            #expect(silent?.contains { $0.hasPrefix("worker:gone:1 (") } == true)
        }
    }

    @Test func `a database that lost more than journals keep waits for an operator`() async throws {
        try await LifecycleWorld.with(timings: Self.timings) { world in
            let connection = try await world.connect("strict-family")
            _ = try await world.services.server.look(world.services)
            // A snapshot of an hour ago: the same server by name, and its beat went back.
            try await world.pool.execute(
                PostgresStatement(
                    "test_restore", "update evergrant.server_watch set beat = beat - interval '1 hour'"))
            guard case .trouble(.ourTrouble, _) = try await world.refresh(connection) else {
                Issue.record("a rotating token of a restored database was presented")
                return
            }
            let replay = JournalReplay(world.services) { _ in }
            for _ in 0..<3 { try await replay.step() }
            #expect(world.services.server.hold == .restored)
            let released = try await ServerChanges.release(attempt: .zero, patience: .zero, in: world.pool)
            #expect(released == nil)
            var last: Int64? = 0
            while let after = last { last = try await ServerChanges.doubt(after: after, limit: 1, in: world.pool) }
            #expect(try await world.ambiguousGeneration(connection) == 1)
            #expect(try await ServerChanges.releaseByHand(in: world.pool))
            try await replay.step()
            #expect(world.services.server.hold == nil)
        }
    }

    @Test func `the newest beat outlives the process in the journal's directory`() async throws {
        try await LifecycleWorld.with { world in
            let sight = try await world.services.server.look(world.services)
            let next = ServerWatch(directory: world.directory + "/journal")
            let known = try #require(next.known)
            #expect(abs(known.timeIntervalSince(sight.beat)) < 0.000_001)
            let held = try await ServerChanges.isHeld(known: known, in: world.pool)
            #expect(!held)
        }
    }
}

extension LifecycleWorld {
    /// A connection's rows as a standby has them that stopped following here.
    struct Photograph {
        let connection: [UInt8]
        let credential: [UInt8]
    }

    func photograph(_ connection: ConnectionRecord) async throws -> Photograph {
        let rows = try await pool.execute(
            PostgresStatement(
                "test_photograph",
                """
                select to_jsonb(c)::text, to_jsonb(k)::text from evergrant.connections c
                join evergrant.credentials k on k.connection_id = c.id where c.id = $1
                """), [.int8(connection.id)])
        let (first, second) = try #require(rows.first).decode(String.self, String.self)
        return Photograph(connection: Array(first.utf8), credential: Array(second.utf8))
    }

    /// Puts the rows back and lets the server be another.
    func failOver(to past: Photograph, of connection: ConnectionRecord) async throws {
        try await pool.transaction { db in
            try await db.execute(
                PostgresStatement(
                    "test_back",
                    """
                    with k as (delete from evergrant.credentials where connection_id = $1),
                    a as (delete from evergrant.alternates where connection_id = $1),
                    e as (delete from evergrant.events where connection_id = $1 and connection_version > 1)
                    delete from evergrant.connections where id = $1
                    """), [.int8(connection.id)])
            try await db.execute(
                PostgresStatement("test_quiet", "alter table evergrant.connections disable trigger user"))
            try await db.execute(
                PostgresStatement(
                    "test_back_connection",
                    """
                    insert into evergrant.connections overriding system value
                    select (jsonb_populate_record(null::evergrant.connections, $1)).*
                    """), [.jsonb(past.connection)])
            try await db.execute(
                PostgresStatement(
                    "test_back_credential",
                    """
                    insert into evergrant.credentials
                    select (jsonb_populate_record(null::evergrant.credentials, $1)).*
                    """), [.jsonb(past.credential)])
            try await db.execute(
                PostgresStatement("test_loud", "alter table evergrant.connections enable trigger user"))
        }
        try await changeTimeline()
    }

    /// As after a promotion: the row of the old server names another timeline than the new one has.
    func changeTimeline() async throws {
        try await pool.execute(
            PostgresStatement("test_promoted", "update evergrant.server_watch set timeline = 'FFFFFFFF'"))
    }

    /// Replays until the hold is over.
    func makeGood() async throws {
        let replay = JournalReplay(services) { _ in }
        repeat {
            try await replay.step()
            await Task.yield()
        } while services.server.hold != nil
    }

    func refreshes(_ connection: ConnectionRecord) throws -> Int {
        sandbox.state.grants().reduce(0) { $0 + $1.refreshes }
    }

    func ambiguousGeneration(_ connection: ConnectionRecord) async throws -> Int64? {
        let rows = try await pool.execute(
            PostgresStatement("test_ambiguous", "select ambiguous_generation from evergrant.connections where id = $1"),
            [.int8(connection.id)])
        return try rows.first.flatMap { try $0.decode(Int64?.self) }
    }
}
