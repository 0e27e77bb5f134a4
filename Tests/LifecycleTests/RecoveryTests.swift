import Credentials
import Egress
import Escrow
import Foundation
import Lifecycle
import LifecycleSupport
import Logging
import Pacing
import Postgres
import Sandbox
import Store
import Testing

@Suite struct RecoveryTests {
    /// The answer never arrives, although the provider has done its work: the hardest case.
    @Test(arguments: ["replayable", "until-used", "windowed"])
    func `a lost answer is recovered by presenting the token again`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            try await world.fault("lost_answer", at: provider)
            #expect(try await world.refresh(connection) == .ambiguous)
            #expect(try await world.row(connection).attemptNonce != nil)
            try await world.age(connection, seconds: 3)
            #expect(try await world.recover(connection) == .refreshed)
            let row = try await world.row(connection)
            #expect(row.state == .active)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            if provider == "windowed" {
                // A late first request may have killed what was received: once more inside the window.
                #expect(try #require(row.refreshDueAt) <= Date().addingTimeInterval(1))
                #expect(row.ambiguousGeneration == 1)
                #expect(try await world.refresh(connection) == .refreshed)
                #expect(try await world.row(connection).ambiguousGeneration == nil)
            }
            #expect(world.inFlight == 1)
        }
    }

    @Test func `strict waits for the owner while the access token lives`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            try await world.fault("lost_answer", at: "strict")
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.age(connection, seconds: 5)
            #expect(try await world.recover(connection) == .ambiguous)
            #expect(world.sandbox.state.grants().first?.replays == 0)
            #expect(try await world.row(connection).attemptNonce != nil)
        }
    }

    @Test(arguments: ["strict", "strict-family"])
    func `after the wait a lost rotation is told as rotation_lost`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            try await world.fault("lost_answer", at: provider)
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.age(connection, seconds: 7200)
            #expect(try await world.recover(connection) == .refused(.suspected, .rotationLost))
            #expect(try await world.refresh(connection) == .refused(.broken, .rotationLost))
            #expect(try await world.row(connection).reason == .rotationLost)
        }
    }

    @Test func `after the wait a request that was never processed succeeds`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict-family")
            try await world.fault("closed", at: "strict-family")
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.age(connection, seconds: 7200)
            #expect(try await world.recover(connection) == .refreshed)
            #expect(try await world.row(connection).state == .active)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
        }
    }

    @Test func `where a replay endangers the operator's app the token is never presented again`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict-app")
            try await world.fault("lost_answer", at: "strict-app")
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.age(connection, seconds: 7200)
            #expect(try await world.recover(connection) == .refused(.broken, .rotationLost))
            #expect(world.sandbox.state.grants().first?.replays == 0)
        }
    }

    @Test func `a windowed attempt found after its window is treated as strict`() async throws {
        try await LifecycleWorld.with(window: 60) { world in
            let connection = try await world.connect("windowed")
            try await world.fault("lost_answer", at: "windowed")
            #expect(try await world.refresh(connection) == .ambiguous)
            try await world.age(connection, seconds: 120)
            #expect(try await world.recover(connection) == .ambiguous)
            #expect(world.sandbox.state.grants().first?.replays == 0)
        }
    }

    @Test func `the owner's late answer is committed although another holds the mark`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let gate = try await world.gate("strict", "after")
            async let first = world.refresh(connection)
            try await world.waitAtGate(gate)
            // The owner is taken for gone: its deadline has passed and the access token has ended.
            try await world.age(connection, seconds: 7200)
            let stolen = AttemptMark(connectionID: connection.id)
            let nonce = try #require(try await world.row(connection).attemptNonce)
            let taken = try await Attempts.takeOver(
                from: nonce, as: stolen, owner: "other", length: .seconds(2), in: world.pool)
            #expect(taken?.ambiguousSince != nil)
            try await world.open(gate)
            #expect(try await first == .refreshed)
            let row = try await world.row(connection)
            #expect(row.generation == 2)
            #expect(row.attemptNonce == stolen.nonce)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
        }
    }

    @Test func `an answer that loses is kept as an alternate and saves the grant at a refusal`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("until-used")
            let gate = try await world.gate("until-used", "after")
            async let first = world.refresh(connection)
            try await world.waitAtGate(gate)
            try await world.age(connection, seconds: 10)
            let nonce = try #require(try await world.row(connection).attemptNonce)
            _ = try await Attempts.takeOver(
                from: nonce, as: AttemptMark(connectionID: connection.id), owner: "other", length: .seconds(2),
                in: world.pool)
            try await world.open(gate)
            #expect(try await first == .refreshed)
            #expect(try await world.row(connection).generation == 1)
            let kept = try await Alternates.unpresented(
                connectionID: connection.id, grantID: connection.grantID, in: world.pool)
            #expect(kept.count == 1)
            // The token in use is refused; the alternate is tried before anyone is told.
            try await world.pool.execute(
                PostgresStatement(
                    "test_clear", "update evergrant.connections set attempt_nonce = null where id = $1"),
                [.int8(connection.id)])
            try await world.fault("invalid_grant", at: "until-used")
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.row(connection).state == .active)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
        }
    }

    @Test(arguments: ["until-used", "windowed", "strict", "strict-family"])
    func `a process killed between answer and commit leaves its answer in the journal`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            // The database refuses the commit for as long as this lives, as in an outage.
            try await world.pool.execute(
                PostgresStatement(
                    "test_outage",
                    """
                    alter table evergrant.credentials add constraint test_outage check (generation < 2) not valid
                    """), [])
            let attempt = Task { try await world.refresh(connection) }
            try await world.waitForRefreshes(1)
            try await world.waitForJournal()
            attempt.cancel()
            _ = try? await attempt.value
            world.services.journal?.close()
            try await world.pool.execute(
                PostgresStatement(
                    "test_outage_over", "alter table evergrant.credentials drop constraint test_outage"), [])
            #expect(try await world.row(connection).generation == 1)

            let next = try EscrowJournal(
                .init(directory: world.directory + "/journal"),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let keeper = AnswerKeeper(world.services)
            let recovered = await next.recoverAbandoned { record in
                record.kind == .refreshAnswer ? try await keeper.recover(record).settlement : nil
            }
            #expect(recovered == 1)
            next.close()
            let row = try await world.row(connection)
            #expect(row.generation == 2)
            #expect(row.attemptNonce == nil)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            #expect(world.sandbox.state.grants().first?.refreshes == 1)
        }
    }

    @Test func `recovering an answer twice changes nothing`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("until-used")
            #expect(try await world.refresh(connection) == .refreshed)
            let bytes = try world.journalRecords().first { $0.kind == .refreshAnswer }
            let record = try #require(bytes)
            let keeper = AnswerKeeper(world.services)
            try await keeper.recover(record)
            try await keeper.recover(record)
            #expect(try await world.row(connection).generation == 2)
            let kept = try await Alternates.unpresented(
                connectionID: connection.id, grantID: connection.grantID, in: world.pool)
            #expect(kept.isEmpty)
        }
    }

    @Test func `the planner lets a strict attempt wait and hands over the others`() async throws {
        try await LifecycleWorld.with { world in
            let strict = try await world.connect("strict", account: "a@example.com")
            let windowed = try await world.connect("windowed", account: "b@example.com")
            try await world.fault("lost_answer", at: "strict")
            try await world.fault("lost_answer", at: "windowed")
            _ = try await world.refresh(strict)
            _ = try await world.refresh(windowed)
            try await world.age(strict, seconds: 3)
            try await world.age(windowed, seconds: 3)
            let planner = LifecyclePlanner(world.services)
            #expect(try await planner.planRecoveries() == 1)
            let row = try await world.row(strict)
            #expect(row.attemptNonce != nil)
            #expect(try #require(row.nextAttemptAt) > Date().addingTimeInterval(1000))
        }
    }
}

extension LifecycleWorld {
    /// Waits until the journal holds an answer.
    func waitForJournal() async throws {
        try await eventually { try journalRecords().contains { $0.kind == .refreshAnswer } }
    }
}
