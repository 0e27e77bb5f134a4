import ChaosSupport
import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import OAuth
import Pacing
import Postgres
import Sandbox
import Store

/// Plays one history of one connection: what happens is drawn from its seed, in an order that the seed repeats. Three
/// processes try to keep the grant alive while the provider fails, time passes, and they die, sleep and come back at the
/// steps of an attempt. Then everything heals, and what is left is counted.
struct HistoryPlayer {
    private let world: LifecycleWorld
    private let proxy: Proxy
    private let seats: Seats
    private let seed: UInt64
    private var random: SeededRandom
    private let account: String
    private let providerClass: ProviderClass
    private var connection: ConnectionRecord
    private var remains = Remains()
    private var asleep: [(hold: StatementHold, since: BootInstant, work: Task<RefreshResult, any Error>)] = []
    private var refusals = 0
    /// What was done, for whoever reads of a violation.
    private(set) var story: [String] = []

    static let window = 600
    static let classes: [ProviderClass] = [
        .replayable, .untilUsed, .windowed, .strict, .strictFamily, .strictApp,
    ]

    init(_ world: LifecycleWorld, behind proxy: Proxy, on seats: Seats, seed: UInt64) async throws {
        self.world = world
        self.proxy = proxy
        self.seats = seats
        self.seed = seed
        random = SeededRandom(seed: seed)
        account = "h\(seed)@example.com"
        providerClass = Self.classes[Int.random(in: 0..<Self.classes.count, using: &random)]
        connection = try await world.connect(
            providerClass.rawValue, account: account, life: 3600, identity: "h\(seed)")
    }

    /// - Returns: what must not be, after what the design names under *What remains* has been taken out.
    mutating func play() async throws -> HistoryResult {
        story = ["seed \(seed), \(providerClass.rawValue)"]
        for _ in 0..<Int.random(in: 4...12, using: &random) { try await move() }
        try await heal()
        var count = try await world.reckon(connection, account: account)
        remains.read(world.sandbox.state.ledger(grant: grant?.id), grant?.id)
        let excused = remains.excuses(providerClass)
        var result = HistoryResult(providerClass: providerClass)
        result.isTold = count.toldLost > 0
        result.wasRevoked = remains.wasRevoked
        if count.toldLost > 0, excused {
            count.toldLost = 0
            count.findings = []
        }
        // At such a provider a token that was perhaps spent is not presented again: whether it lives nobody can know.
        if providerClass == .strictApp, count.falseBreaks > 0, try await world.row(connection).reason == .rotationLost {
            count.falseBreaks = 0
            result.isTold = true
            count.findings = []
        }
        if !count.findings.isEmpty { story.append("remains: \(remains)") }
        result.reckoning = count
        return result
    }

    // MARK: What happens

    private mutating func move() async throws {
        switch Int.random(in: 0..<100, using: &random) {
        case ..<22: try await refresh()
        case ..<44: try await refreshUnderFault()
        case ..<58: try await dieAtStep()
        case ..<64: try await fallAsleepAtStep()
        case ..<82: try await pass([3, 3, 3, 30, 250, 700, 4000].randomElement(using: &random) ?? 3)
        case ..<90: try await recover()
        case ..<94: try await callTogether()
        case ..<98: try await comeBack()
        default: revoke()
        }
    }

    private mutating func refresh() async throws {
        let result = try? await seats.any(&random).refresh(connection)
        story.append("refresh: \(Self.told(result))")
    }

    private mutating func refreshUnderFault() async throws {
        var kinds: [SandboxFault.Kind] = [
            .errorBefore, .errorAfter, .tooMany, .okFalse, .lostAnswer, .lostAnswer, .closed, .html, .cutBody, .hang,
        ]
        // One at most, as in the model: two make a break, and nobody can know better.
        if refusals == 0 { kinds.append(.invalidGrant) }
        let kind = kinds.randomElement(using: &random) ?? .closed
        var fault = SandboxFault(kind, selector, count: 1)
        switch kind {
        case .okFalse: fault.error = "internal_error"
        case .invalidGrant: refusals += 1
        case .hang:
            fault.hang = [.never, .late, .before].randomElement(using: &random) ?? .never
            fault.milliseconds = 350
            if fault.hang == .late { remains.wasLate = true }
        default: break
        }
        let number = world.sandbox.state.add(fault)
        let result = try? await seats.any(&random).refresh(connection)
        world.sandbox.state.removeFaults(number)
        story.append("refresh under \(kind.rawValue)\(kind == .hang ? " \(fault.hang)" : ""): \(Self.told(result))")
    }

    /// A process dies at a numbered step: before or after the mark, before or after the provider's work, before or after
    /// the commit, or with a refusal in its hand.
    private mutating func dieAtStep() async throws {
        guard seats.spare else { return try await comeBack() }
        let victim = seats.any(&random)
        let step = Step.allCases.randomElement(using: &random) ?? .marked
        var gate: SandboxGate?
        var hold: StatementHold?
        switch step {
        case .marking: hold = victim.hold("mark_attempt", .before)
        case .marked: hold = victim.hold("mark_attempt", .after)
        case .sent: gate = world.sandbox.state.addGate(selector, .before, count: 1)
        case .processed: gate = world.sandbox.state.addGate(selector, .after, count: 1)
        case .escrowed: hold = victim.hold("commit_refresh", .before)
        case .committed: hold = victim.hold("commit_refresh", .after)
        }
        let work = victim.begin { [connection] in try await $0.refresh(connection) }
        let isOver = Flag(raisedAtEndOf: work)
        // It may have nothing to do: another holds the mark, or the grant is broken.
        try await world.eventually { isOver.isRaised || gate?.waiting == 1 || (hold?.arrived ?? 0) > 0 }
        let reached = !isOver.isRaised
        await victim.kill()
        hold?.release()
        gate?.release()
        if reached, step == .sent || step == .processed { remains.diedWithAnswer = true }
        story.append("killed when \(step)\(reached ? "" : " (not reached)")")
        if let grant { try await quiet(grant.id) }
        // Another machine's journal may be gone for good; here it comes back sooner or later.
        seats.empty(victim)
        if random.chance(50) { try await comeBack() }
    }

    /// A process stands still for as long as others take it for dead, and then goes on.
    private mutating func fallAsleepAtStep() async throws {
        guard seats.spare else { return try await comeBack() }
        let sleeper = seats.any(&random)
        let isMarked = random.chance(50)
        let since = BootInstant.now()
        let hold = sleeper.hold(isMarked ? "mark_attempt" : "commit_refresh", isMarked ? .after : .before)
        let work = sleeper.begin { [connection] in try await $0.refresh(connection) }
        let isOver = Flag(raisedAtEndOf: work)
        try await world.eventually { isOver.isRaised || hold.arrived > 0 }
        if isOver.isRaised {
            hold.release()
        } else {
            asleep.append((hold, since, work))
            seats.occupy(sleeper)
            if !isMarked { remains.sleptWithAnswer = true }
        }
        story.append("asleep when \(isMarked ? "marked" : "escrowed")\(isOver.isRaised ? " (not reached)" : "")")
    }

    private mutating func wakeSleepers() async throws {
        for sleeper in asleep {
            // Time passes here by moving the past; the sleeper's own clock must see it too.
            let enough = world.services.timings.sendWithin + .milliseconds(20)
            try await world.eventually { sleeper.since.duration(to: .now()) > enough }
            sleeper.hold.release()
            let result = try? await sleeper.work.value
            story.append("woken: \(Self.told(result))")
        }
        asleep = []
        seats.free()
    }

    private mutating func pass(_ seconds: Int) async throws {
        if let grant { try await quiet(grant.id) }
        try await world.pass(connection, account: account, seconds: Double(seconds))
        remains.passed += seconds
        story.append("\(seconds) s pass")
        if !asleep.isEmpty, random.chance(40) { try await wakeSleepers() }
    }

    private mutating func recover() async throws {
        let result = try? await seats.any(&random).recover(connection, in: world)
        story.append("recover: \(Self.told(result))")
    }

    /// Many callers at once, in two processes.
    private mutating func callTogether() async throws {
        let processes = [seats.any(&random), seats.any(&random)]
        let uid = connection.uid
        let environment = world.environmentID
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                let process = processes[number % 2]
                group.addTask {
                    _ = try? await process.refresher.refreshNow(uid: uid, environmentID: environment)
                }
            }
        }
        story.append("8 callers")
    }

    private mutating func comeBack() async throws {
        let count = try await seats.fill(in: world, behind: proxy)
        if count > 0 { story.append("\(count) processes come back") }
    }

    private mutating func revoke() {
        world.sandbox.state.revoke(account: account, in: providerClass)
        remains.wasRevoked = true
        story.append("the user revokes")
    }

    // MARK: The end

    /// No more faults; who is dead comes back, and time passes until the connection works or is broken.
    private mutating func heal() async throws {
        try await comeBack()
        try await wakeSleepers()
        await seats.drain()
        story.append("healed")
        for round in 0..<12 {
            if let grant { try await quiet(grant.id) }
            let row = try await world.row(connection)
            if row.state == .broken { return }
            let result: RefreshResult
            if row.attemptNonce != nil {
                // A scheduler comes at the deadline; the waits of `strict` are longer.
                try await world.pass(connection, account: account, seconds: round < 4 ? 3 : 4000)
                result = try await seats.any(&random).recover(connection, in: world)
                story.append("recover: \(result)")
            } else {
                result = try await seats.any(&random).refresh(connection)
                story.append("refresh: \(result)")
                if result == .refreshed { return }
                if case .trouble(_, let wait) = result {
                    try await world.pass(connection, account: account, seconds: wait.seconds + 1)
                }
            }
        }
    }

    private var selector: SandboxSelector { SandboxSelector(providerClass, .tokenRefresh, account: account) }

    private var grant: GrantReport? { world.sandbox.state.grants(of: providerClass, account: account).last }

    /// Waits until the provider works on nothing of the grant any more: what it does late, it does before time passes.
    private func quiet(_ grant: String) async throws {
        try await world.eventually { (world.sandbox.state.grant(grant)?.inWork ?? 0) == 0 }
    }

    private static func told(_ result: RefreshResult?) -> String { result.map { "\($0)" } ?? "failed" }
}
