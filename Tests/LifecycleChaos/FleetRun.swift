import ChaosSupport
import Credentials
import Egress
import Foundation
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Store
import Synchronization
import TestSupport

/// A fleet of processes under disturbance, then in peace, then counted.
struct FleetRun {
    let options: ConductOptions

    func conduct(on ground: Ground) async throws -> FleetReport {
        let database = TestDatabase(at: await ground.url)
        var report = FleetReport()
        try await LifecycleWorld.on(database) { world in
            // Nothing of it is worth keeping to the last digit: the ledger must not forget.
            world.sandbox.state.change { $0.ledgerCapacity = 2_000_000 }
            report = try await conduct(world, ground)
        }
        return report
    }

    private func conduct(_ world: LifecycleWorld, _ ground: Ground) async throws -> FleetReport {
        var random = SeededRandom(seed: options.seed)
        let hot: ProviderClass =
            [.untilUsed, .windowed, .strict, .strictFamily].randomElement(using: &random) ?? .strict
        let population = try await Population(world, hot: hot)
        let proxy = try Proxy(upstream: Proxy.socketPath(of: world.database.url))
        defer { proxy.stop() }
        let fleet = try Fleet(world, behind: proxy, workers: options.workers)
        defer { fleet.destroy() }
        let callers = try await Callers(world, fleet.frontPorts, population)
        let disturber = Disturber(world, fleet, population, ground, seed: options.seed)
        let began = BootInstant.now()
        let deadline = began.advanced(by: .seconds(options.seconds))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<options.callers { group.addTask { await callers.call(until: deadline) } }
            group.addTask { try await disturber.run(until: deadline) }
            group.addTask {
                while .now() < deadline {
                    try? await population.replenish()
                    try await Task.sleep(for: .seconds(1))
                }
            }
            group.addTask {
                while .now() < deadline {
                    try fleet.supervise()
                    try await Task.sleep(for: .milliseconds(500))
                }
            }
            try await group.waitForAll()
        }
        try fleet.supervise()
        let healed = BootInstant.now()
        let rest = try await Self.settle(world)
        fleet.stop()
        var report = try await FleetReport(world, population, fleet.blows)
        report.seconds = Int(began.duration(to: healed).components.seconds)
        report.recoverySeconds = Int(healed.duration(to: .now()).components.seconds)
        report.disturbances = disturber.done
        report.calls = callers.outcomes
        report.hot = hot.rawValue
        report.fallen = fleet.fallen
        if !rest { report.reckoning.findings.append("not at rest within \(Self.patience)") }
        return report
    }

    static let patience: Duration = .seconds(90)

    /// Returns when every connection has been renewed since, or is broken.
    static func settle(_ world: LifecycleWorld) async throws -> Bool {
        let deadline = BootInstant.now().advanced(by: patience)
        let since = try await world.pool.execute(PostgresStatement("chaos_now", "select now()"), []).first?.decode(
            Date.self)
        while .now() < deadline {
            let row = try await world.pool.execute(
                PostgresStatement(
                    "chaos_unsettled",
                    """
                    select count(*) from evergrant.connections where state <> 'broken'
                        and not (state = 'active' and last_refreshed_at > $1 and attempt_nonce is null
                            and ambiguous_generation is null)
                    """), [.timestamptz(since ?? Date())]
            ).first
            if let row, try row.decode(Int.self) == 0 { return true }
            try await Task.sleep(for: .milliseconds(200))
        }
        return false
    }
}

/// Callers of the fronts at one connection, each asking for a refresh now, again and again.
final class Callers: Sendable {
    private let world: LifecycleWorld
    private let ports: [UInt16]
    private let population: Population
    private let key: String
    private let counts = Mutex<[String: Int]>([:])

    init(_ world: LifecycleWorld, _ ports: [UInt16], _ population: Population) async throws {
        self.world = world
        self.ports = ports
        self.population = population
        let draft = APIKeyDraft(mode: .test)
        _ = try await APIKeys.insert(
            draft, environmentID: world.environmentID, name: "chaos", role: .full, expiresAt: nil, in: world.pool)
        key = draft.text.revealedText()
    }

    var outcomes: [String: Int] { counts.withLock { $0 } }

    func call(until deadline: BootInstant) async {
        while .now() < deadline {
            let port = ports.randomElement() ?? 0
            guard let connection = population.hot?.connection else { return }
            let path = "/v1/connections/\(connection.publicID)/refresh"
            let outcome = await world.egress.send(
                .init(
                    method: "POST", url: "http://127.0.0.1:\(port)\(path)",
                    headers: [("authorization", "Bearer \(key)"), ("content-type", "application/json")],
                    body: .bytes(Array("{}".utf8)), policy: .loopbackOnly))
            let name = if case .answered(let answer) = outcome { "\(answer.status)" } else { "no answer" }
            counts.withLock { $0[name, default: 0] += 1 }
            try? await Task.sleep(for: .milliseconds(name == "200" ? 50 : 250))
        }
    }
}
