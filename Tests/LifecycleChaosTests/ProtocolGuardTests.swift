import ChaosSupport
import Credentials
import Egress
import Foundation
import Lifecycle
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Store
import Testing

/// Each guard of the protocol, taken out: the count that it protects is then no longer zero. Every test plays one
/// history twice, with all guards and without one; nothing in it is left to chance.
@Suite struct ProtocolGuardTests {
    @Test func `fence: an old answer out of a journal overwrites a newer one`() async throws {
        try await compare(without: .fence) { stage in
            let connection = try await stage.connect("strict")
            // Committed, but killed before it could say so in its journal.
            _ = stage.first.hold("commit_refresh", .after)
            _ = stage.first.hold("commit_refresh_unfenced", .after)
            stage.first.begin { try await $0.refresh(connection) }
            try await stage.eventually { try await stage.world.row(connection).generation == 2 }
            await stage.first.kill()
            try await stage.settle(connection)
            #expect(await stage.second.drain() == 1)
            try await stage.settle(connection)
            return try await stage.reckon(connection).losses
        }
    }

    @Test func `nonce: an attempt that others have given up ends theirs, and two are in flight`() async throws {
        try await compare(without: .nonce, sound: 1, broken: 2) { stage in
            let connection = try await stage.connect("until-used")
            try await stage.world.fault("429", at: "until-used")
            let late = stage.first.hold("end_attempt", .before)
            let first = stage.first.begin { try await $0.refresh(connection) }
            #expect(await late.wait())
            try await stage.world.age(connection, seconds: 3)
            let gate = stage.world.sandbox.state.addGate(SandboxSelector(.untilUsed, .tokenRefresh), .before)
            let second = stage.second.begin { try await $0.recover(connection, in: stage.world) }
            #expect(await gate.wait())
            late.release()
            _ = try await first.value
            let third = stage.second.begin { try await $0.refresh(connection) }
            let isOver = Flag()
            let watch = Task {
                _ = try? await third.value
                isOver.raise()
            }
            try await stage.eventually { isOver.isRaised || gate.waiting == 2 }
            gate.release()
            await watch.value
            _ = try? await second.value
            return try await stage.reckon(connection).inFlight
        }
    }

    @Test func `send hook: a process that slept presents a token that others have spent`() async throws {
        // The sleeper's alone: the other may be slow on a busy machine.
        var timings = LifecycleWorld.timings
        timings.sendWithin = .milliseconds(100)
        try await compare(without: .sendHook, timings: timings) { stage in
            let connection = try await stage.connect("strict-family")
            let began = BootInstant.now()
            // Marked, and asleep before it hears of it.
            let sleep = stage.first.hold("mark_attempt", .after)
            let first = stage.first.begin { try await $0.refresh(connection) }
            #expect(await sleep.wait())
            try await stage.world.age(connection, seconds: 7200)
            try await stage.settle(connection)
            try await stage.eventually { began.duration(to: .now()) > .milliseconds(150) }
            sleep.release()
            _ = try? await first.value
            try await stage.settle(connection)
            return try await stage.reckon(connection).losses
        }
    }

    /// libcurl sends again on its own what died on a reused connection; a fresh one and the hook's second call prevent it.
    @Test func `fresh connection: a lost answer makes libcurl present the token twice`() async throws {
        for isCareless in [false, true] {
            try await LifecycleWorld.with { world in
                let transport = CarelessTransport(world.egress)
                let stage = try Stage(world, guards: .all, transport: isCareless ? transport : nil)
                let connection = try await stage.connect("strict-family")
                // Leaves a connection behind that could be used again.
                try await stage.eventually { try await stage.first.refresh(connection) == .refreshed }
                try await world.fault("lost_answer", at: "strict-family")
                _ = try await stage.first.refresh(connection)
                let replays = try await stage.reckon(connection).replays
                #expect(replays == (isCareless ? 1 : 0))
                await stage.end()
            }
        }
    }

    @Test func `re-read: a refusal that comes late breaks what another has renewed`() async throws {
        try await compare(without: .reread) { stage in
            let connection = try await stage.connect("until-used")
            try await stage.world.fault("invalid_grant", at: "until-used", count: 2)
            _ = try await stage.first.refresh(connection)
            let late = stage.first.hold("end_attempt", .before)
            let unfenced = stage.first.hold("end_attempt_unfenced", .before)
            let first = stage.first.begin { try await $0.refresh(connection) }
            try await stage.eventually { late.arrived + unfenced.arrived == 1 }
            try await stage.world.age(connection, seconds: 3)
            try await stage.settle(connection)
            late.release()
            unfenced.release()
            _ = try? await first.value
            return try await stage.reckon(connection).falseBreaks
        }
    }

    @Test(arguments: ["strict", "strict-family"])
    func `escrow: an answer dies with the process that had it`(provider: String) async throws {
        try await compare(without: .escrow) { stage in
            let connection = try await stage.connect(provider)
            let hold = stage.first.hold("commit_refresh", .before)
            stage.first.begin { try await $0.refresh(connection) }
            #expect(await hold.wait())
            await stage.first.kill()
            await stage.second.drain()
            try await stage.settle(connection)
            return try await stage.reckon(connection).losses
        }
    }

    @Test func `alternates: the owner's answer that comes after the wait is thrown away`() async throws {
        try await compare(without: .alternates) { stage in
            let connection = try await stage.connect("strict")
            let frozen = stage.first.hold("commit_refresh", .before)
            let first = stage.first.begin { try await $0.refresh(connection) }
            #expect(await frozen.wait())
            try await stage.world.age(connection, seconds: 7200)
            _ = try await stage.second.recover(connection, in: stage.world)
            _ = try await stage.second.refresh(connection)
            #expect(try await stage.world.row(connection).state == .broken)
            frozen.release()
            _ = try? await first.value
            return try await stage.reckon(connection).losses
        }
    }

    @Test(arguments: ["replayable", "until-used", "windowed", "strict", "strict-family"])
    func `suspicion: one false refusal is told as a break`(provider: String) async throws {
        try await compare(without: .suspicion) { stage in
            let connection = try await stage.connect(provider)
            // Where a previous token may be tried, that is refused as well.
            try await stage.world.fault("invalid_grant", at: provider)
            _ = try await stage.first.refresh(connection)
            if try await stage.world.row(connection).state != .broken {
                try await stage.settle(connection)
            }
            return try await stage.reckon(connection).falseBreaks
        }
    }

    @Test func `strict wait: whoever does not wait for the owner kills the family`() async throws {
        try await compare(without: .strictWait) { stage in
            let connection = try await stage.connect("strict-family")
            let hold = stage.first.hold("commit_refresh", .before)
            stage.first.begin { try await $0.refresh(connection) }
            #expect(await hold.wait())
            try await stage.world.age(connection, seconds: 3)
            _ = try await stage.second.recover(connection, in: stage.world)
            await stage.first.kill()
            await stage.second.drain()
            try await stage.settle(connection)
            return try await stage.reckon(connection).losses
        }
    }

    @Test func `ambiguity carried: a rotation that was lost is told as the user's doing`() async throws {
        try await compare(without: .ambiguityCarried) { stage in
            let connection = try await stage.connect("strict")
            try await stage.world.fault("lost_answer", at: "strict")
            _ = try await stage.first.refresh(connection)
            try await stage.world.age(connection, seconds: 7200)
            _ = try await stage.second.recover(connection, in: stage.world)
            _ = try await stage.second.refresh(connection)
            return try await stage.reckon(connection).falseBreaks
        }
    }

    // MARK: Both ways

    /// Plays a history with all guards and without one.
    private func compare(
        without guardian: ProtocolGuards, timings: LifecycleTimings? = nil, sound: Int = 0,
        broken: Int = 1, _ history: (Stage) async throws -> Int
    ) async throws {
        for guards in [ProtocolGuards.all, .all.subtracting(guardian)] {
            try await LifecycleWorld.with { world in
                let stage = try Stage(world, guards: guards, timings: timings)
                let count = try await history(stage)
                #expect(count == (guards == .all ? sound : broken), guards == .all ? "all guards" : "without it")
                await stage.end()
            }
        }
    }
}
