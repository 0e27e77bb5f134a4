import Credentials
import Escrow
import Foundation
import LifecycleSupport
import Logging
import Pacing
import Postgres
import Queue
import Sandbox
import Store
import TestSupport
import Testing

/// Real processes, killed at the worst moments, judged by the provider's own ledger.
@Suite(.serialized) struct WorkerKilledTests {
    /// The worker has the provider's answer and is stopped by a lock in the database just before its commit.
    @Test(arguments: ["replayable", "until-used", "windowed", "strict", "strict-family"])
    func `a worker killed between the provider's answer and the commit loses nothing`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            let scheduler = try FleetProcess("scheduler", in: world)
            let released = Latch()
            let held = Latch()
            let blocker = Task {
                try await world.pool.transaction { transaction in
                    try await transaction.execute(
                        PostgresStatement(
                            "test_hold", "select 1 from evergrant.credentials where connection_id = $1 for update"),
                        [.int8(connection.id)])
                    held.open()
                    await released.wait()
                }
            }
            await held.wait()
            let doomed = try FleetProcess("worker", in: world)
            try await world.makeDue(connection)
            try await world.waitForRefreshes(1)
            // It waits for the lock now, its answer in hand.
            try await world.eventually { try await world.sessionsWaitingForLocks() > 0 }
            doomed.kill()
            try await world.endSessions(of: doomed)
            released.open()
            try await blocker.value
            #expect(try await world.row(connection).generation == 1)

            let successor = try FleetProcess("worker", in: world)
            try await world.eventually { try await world.row(connection).generation >= 2 }
            let row = try await world.row(connection)
            #expect(row.state == .active, "\(successor.output)")
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            let grant = try #require(world.sandbox.state.grants().first)
            #expect(grant.alive)
            #expect(grant.maximumInFlight == 1)
            if provider.hasPrefix("strict") {
                #expect(grant.replays == 0)
                #expect(grant.refreshes == 1)
            }
            #expect(try await !world.events(connection).contains("connection.broken"))
            successor.stop()
            scheduler.stop()
        }
    }

    /// The provider has done its work and its answer is on the wire when the worker dies.
    @Test(arguments: ["replayable", "until-used", "windowed"])
    func `a worker killed while the answer is on the wire is recovered by its class`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            let scheduler = try FleetProcess("scheduler", in: world)
            let gate = try await world.gate(provider, "after")
            let doomed = try FleetProcess("worker", in: world)
            try await world.makeDue(connection)
            try await world.waitAtGate(gate)
            doomed.kill()
            try await world.open(gate)
            let successor = try FleetProcess("worker", in: world)
            try await world.eventually { try await world.row(connection).generation >= 2 }
            try await world.eventually { try await world.row(connection).attemptNonce == nil }
            #expect(try await world.row(connection).state == .active, "\(successor.output)")
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            successor.stop()
            scheduler.stop()
        }
    }

    /// What no protocol can save is told by its name: the answer died with the process.
    @Test(arguments: ["strict", "strict-family"])
    func `a rotation that died on the wire is reported as rotation_lost, not as the user's doing`(
        provider: String
    ) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider, life: 4)
            let scheduler = try FleetProcess("scheduler", in: world)
            let gate = try await world.gate(provider, "after")
            let doomed = try FleetProcess("worker", in: world)
            try await world.makeDue(connection)
            try await world.waitAtGate(gate)
            doomed.kill()
            try await world.open(gate)
            let successor = try FleetProcess("worker", in: world)
            try await world.eventually { try await world.row(connection).state == .broken }
            #expect(try await world.row(connection).reason == .rotationLost, "\(successor.output)")
            #expect(try await world.events(connection).filter { $0 == "connection.broken" }.count == 1)
            successor.stop()
            scheduler.stop()
        }
    }

    @Test func `tokens that ended while no worker ran are all renewed when one starts`() async throws {
        try await LifecycleWorld.with { world in
            var connections: [ConnectionRecord] = []
            for index in 0..<40 {
                let provider = ["replayable", "until-used", "windowed", "strict", "strict-family"][index % 5]
                connections.append(
                    try await world.connect(
                        provider, account: "u\(index)@example.com", life: 1, identity: "u\(index)"))
            }
            world.sandbox.state.change { settings in
                for providerClass in ProviderClass.allCases { settings[providerClass].accessLifetime = 3600 }
            }
            try await world.eventually {
                try await connections.asyncAllSatisfy { try await world.row($0).accessExpiresAt ?? .now < .now }
            }
            let scheduler = try FleetProcess("scheduler", in: world)
            let workers = try (0..<2).map { _ in try FleetProcess("worker", in: world) }
            for connection in connections {
                try await world.eventually { try await world.row(connection).generation == 2 }
                #expect(try await world.heldRefreshTokenIsAlive(connection))
            }
            #expect(world.inFlight == 1)
            for worker in workers { worker.stop() }
            scheduler.stop()
        }
    }

    @Test func `a worker that is told to stop ends with status 0 and leaves nothing open in its journal`() async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let scheduler = try FleetProcess("scheduler", in: world)
            let worker = try FleetProcess("worker", in: world)
            try await world.makeDue(connection)
            try await world.eventually { try await world.row(connection).generation == 2 }
            worker.stop()
            scheduler.stop()
            // Settled answers stay for a failover; nothing in them is to be done.
            let next = try EscrowJournal(
                .init(directory: world.directory + "/fleet-journal"), logger: Logger(label: "test"))
            #expect(await next.recoverAbandoned { _ in nil } == 0)
            var kept = 0
            _ = try await next.replay { kept += $0.count }
            #expect(kept == 1)
            next.close()
        }
    }
}

extension LifecycleWorld {
    func makeDue(_ connection: ConnectionRecord) async throws {
        try await Attempts.makeDue(connectionID: connection.id, in: pool)
    }

    func sessionsWaitingForLocks() async throws -> Int {
        try await pool.execute(
            PostgresStatement(
                "test_waiting",
                """
                select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'
                """), []
        ).first?.decode(Int.self) ?? 0
    }

    /// Ends the server's sessions of a process that was killed: a backend that waits for a lock would still run what
    /// it was sent, and the test wants the worse case.
    func endSessions(of process: FleetProcess) async throws {
        try await pool.execute(
            PostgresStatement(
                "test_end_sessions",
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'
                """), [])
        try await eventually { try await sessionsWaitingForLocks() == 0 }
    }
}

extension Array {
    func asyncAllSatisfy(_ condition: (Element) async throws -> Bool) async rethrows -> Bool {
        for element in self where try await !condition(element) { return false }
        return true
    }
}

/// Opened once; whoever waits goes on.
final class Latch: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func open() { continuation.finish() }

    func wait() async {
        for await _ in stream {}
    }
}
