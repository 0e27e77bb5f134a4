import ChaosSupport
import EmbeddedPostgres
import Foundation
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Synchronization

/// Disturbs a fleet until its time is over: one thing of each track at a time, drawn from the seed.
final class Disturber: Sendable {
    private let world: LifecycleWorld
    private let fleet: Fleet
    private let population: Population
    private let ground: Ground
    private let seed: UInt64
    private let counts = Mutex<[String: Int]>([:])

    init(_ world: LifecycleWorld, _ fleet: Fleet, _ population: Population, _ ground: Ground, seed: UInt64) {
        self.world = world
        self.fleet = fleet
        self.population = population
        self.ground = ground
        self.seed = seed
    }

    /// How often each was done; a kill with the step it met.
    var done: [String: Int] { counts.withLock { $0 } }

    func run(until deadline: BootInstant) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, track) in Disturbance.Track.allCases.enumerated() {
                group.addTask { [self] in
                    var random = SeededRandom(seed: seed &* 31 &+ UInt64(number))
                    let all = Disturbance.allCases.filter { $0.track == track }
                    while .now() < deadline {
                        try await Task.sleep(for: random.milliseconds(track == .provider ? 100...600 : 300...1500))
                        try await perform(Self.draw(all, &random), &random)
                    }
                }
            }
            try await group.waitForAll()
        }
        fleet.proxy.set(.open)
        world.sandbox.state.removeFaults()
    }

    /// Faults are common, revocations and restarts rare.
    private static func draw(_ all: [Disturbance], _ random: inout SeededRandom) -> Disturbance {
        if all.contains(.fault), random.chance(85) { return .fault }
        if all.contains(.kill), random.chance(50) { return .kill }
        return all.randomElement(using: &random) ?? all[0]
    }

    private func count(_ what: String) { counts.withLock { $0[what, default: 0] += 1 } }

    private func perform(_ disturbance: Disturbance, _ random: inout SeededRandom) async throws {
        switch disturbance {
        case .kill, .suspend: try await strikeAtStep(disturbance, &random)
        case .drain:
            guard let (index, _) = fleet.take(["worker"], &random) else { return }
            fleet.drain(index)
            try fleet.replace(index)
            fleet.release(index)
            count("drain")
        case .killOther:
            guard let (index, seat) = fleet.take(["scheduler", "front"], &random) else { return }
            fleet.kill(index)
            try fleet.replace(index)
            fleet.release(index)
            count("kill \(seat.role)")
        case .cut, .isolate, .freeze, .deafen, .slow:
            let place = disturbance == .cut ? nil : fleet.proxy.places.randomElement(using: &random)
            let gate: Gate =
                switch disturbance {
                case .freeze: .frozen
                case .deafen: .deaf
                case .slow: .slow(200)
                default: .cut
                }
            fleet.proxy.set(gate, place: place)
            try await Task.sleep(for: random.milliseconds(500...4000))
            fleet.proxy.set(.open, place: place)
            count(disturbance.rawValue)
        case .terminate:
            try await world.pool.execute(
                PostgresStatement(
                    "chaos_terminate",
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity
                    where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name like 'evergrant%'
                    """), [])
            count("terminate")
        case .restart:
            try await ground.restart()
            count("restart")
        case .clock:
            // A step forward under an open mark is a deadline that comes early: see docs/lifecycle-chaos.md.
            let seconds = Double(Int.random(in: -3...3, using: &random))
            _ = try? await world.pool.execute(
                PostgresStatement(
                    "chaos_clock",
                    """
                    update evergrant.connections set attempt_deadline = attempt_deadline - make_interval(secs => $1),
                        refresh_due_at = refresh_due_at - make_interval(secs => $1),
                        next_attempt_at = next_attempt_at - make_interval(secs => $1),
                        ambiguous_since = ambiguous_since - make_interval(secs => $1),
                        access_expires_at = access_expires_at - make_interval(secs => $1)
                    where attempt_nonce is null or $1 < 0
                    """), [.float8(seconds)])
            count("clock")
        case .fault: try await fail(&random)
        case .outage, .limit:
            var fault = SandboxFault(
                disturbance == .limit ? .tooMany : .errorBefore, SandboxSelector(nil, .tokenRefresh))
            fault.retryAfter = disturbance == .limit ? "1.5" : nil
            let number = world.sandbox.state.add(fault)
            try await Task.sleep(for: random.milliseconds(500...2500))
            world.sandbox.state.removeFaults(number)
            count(disturbance.rawValue)
        case .revocation:
            guard let member = population.members.randomElement(using: &random) else { return }
            world.sandbox.state.revoke(account: member.account)
            count("revocation")
        }
    }

    /// One request of one account goes wrong.
    private func fail(_ random: inout SeededRandom) async throws {
        let kinds: [SandboxFault.Kind] = [
            .errorBefore, .errorAfter, .lostAnswer, .closed, .html, .cutBody, .hang, .slow, .invalidGrant, .okFalse,
        ]
        let kind = kinds.randomElement(using: &random) ?? .closed
        let index = Int.random(in: 0..<1000, using: &random)
        let members = population.members
        guard let member = kind == .invalidGrant ? population.unrefused(index) : members[index % members.count] else {
            return
        }
        var fault = SandboxFault(
            kind, SandboxSelector(member.providerClass, .tokenRefresh, account: member.account), count: 1)
        if kind == .okFalse { fault.error = "internal_error" }
        if kind == .hang {
            fault.hang = random.chance(50) ? .before : .never
            fault.milliseconds = Int.random(in: 200...2500, using: &random)
        }
        world.sandbox.state.add(fault)
        count("fault \(kind.rawValue)")
    }

    /// Kills or stops whoever is at a step of an attempt: a worker found by a statement on its own way, or the process
    /// that holds the mark of a request at the provider.
    private func strikeAtStep(_ disturbance: Disturbance, _ random: inout SeededRandom) async throws {
        let step = Step.allCases.randomElement(using: &random) ?? .marked
        var victim: Int?
        var hold: StatementHold?
        var gate: SandboxGate?
        switch step {
        case .sent, .processed:
            let made = world.sandbox.state.addGate(
                SandboxSelector(nil, .tokenRefresh), step == .sent ? .before : .after, count: 1)
            gate = made
            if await made.wait(atMost: .seconds(3)), let account = made.accounts.first,
                let pid = try? await world.ownerPID(ofAccount: account)
            {
                victim = fleet.take(["worker", "front"], pid: pid, &random)?.index
            }
        case .marking, .marked, .escrowed, .committed:
            guard let (index, seat) = fleet.take(["worker"], &random) else { return }
            victim = index
            let statement = step == .marking || step == .marked ? "mark_attempt" : "commit_refresh"
            let made = fleet.proxy.hold(
                statement, at: step == .marking || step == .escrowed ? .before : .after, place: seat.place)
            hold = made
            // A worker that found nothing to do is killed all the same.
            _ = await made.wait(atMost: .seconds(3))
        }
        defer {
            hold?.release()
            gate?.release()
        }
        guard let victim else { return }
        if disturbance == .kill {
            fleet.kill(victim)
            // What was on its way to the database dies with it.
            hold?.release()
            gate?.release()
            try fleet.replace(victim)
        } else {
            hold?.release()
            gate?.release()
            try await fleet.suspend(victim, for: random.milliseconds(1000...6000))
        }
        fleet.release(victim)
        count("\(disturbance.rawValue) when \(step)")
    }
}
