import ChaosSupport
import Foundation
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Store
import TestSupport

/// A fleet whose database fails over to a standby that lacks the last commits: every token set of the last seconds exists
/// in journals alone.
struct FailoverRun {
    let workers: Int

    func conduct() async throws -> FailoverReport {
        let pair = FailoverPair("run")
        do {
            try await pair.start()
            let report = try await conduct(on: pair)
            await pair.end()
            return report
        } catch {
            await pair.end()
            throw error
        }
    }

    private func conduct(on pair: FailoverPair) async throws -> FailoverReport {
        let proxy = try Proxy(upstream: Proxy.socketPath(of: await pair.primaryURL))
        defer { proxy.stop() }
        // The run's own sessions fail over with everybody's.
        let database = TestDatabase(at: Proxy.url(port: try proxy.add().port, database: "postgres"))
        var report = FailoverReport()
        try await LifecycleWorld.on(database) { world in
            report = try await conduct(world, pair, proxy)
        }
        return report
    }

    private func conduct(_ world: LifecycleWorld, _ pair: FailoverPair, _ proxy: Proxy) async throws -> FailoverReport {
        let population = try await Population(world, hot: .strict)
        let fleet = try Fleet(world, behind: proxy, workers: workers)
        defer { fleet.destroy() }
        // The journals must have been registered where the standby can see it.
        try await renewAll(world)
        try await pair.catchUp()
        try await pair.cutReplication()
        let before = try await generations(world)
        try await renewAll(world)
        try await renewAll(world)
        proxy.set(.cut)
        var random = SeededRandom(seed: 1)
        let victim = fleet.take(["worker"], &random)
        if let victim { fleet.kill(victim.index) }
        let ahead = try await lost(world, before)
        try await pair.failOver()
        proxy.redirect(to: try Proxy.socketPath(of: await pair.standbyURL))
        proxy.set(.open)
        let began = BootInstant.now()
        if let victim {
            try fleet.replace(victim.index)
            fleet.release(victim.index)
        }
        try fleet.supervise()
        let isAtRest = try await FleetRun.settle(world)
        let seconds = began.duration(to: .now()).seconds
        fleet.stop()
        var report = FailoverReport()
        report.recoverySeconds = seconds
        report.connections = population.members.count
        report.generationsLost = ahead
        for member in population.members {
            report.reckoning = report.reckoning + (try await world.reckon(member.connection, account: member.account))
        }
        if !isAtRest { report.reckoning.findings.append("not at rest within \(FleetRun.patience)") }
        return report
    }

    /// Returns when every connection has a newer token set.
    private func renewAll(_ world: LifecycleWorld) async throws {
        let before = try await generations(world)
        try await world.pool.execute(
            PostgresStatement("failover_due", "update evergrant.connections set refresh_due_at = now()"), [])
        let deadline = BootInstant.now().advanced(by: .seconds(40))
        while try await !generations(world).allSatisfy({ $0.value > before[$0.key] ?? 0 }) {
            guard .now() < deadline else { throw ChaosError("not everything was renewed in 40 s") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func generations(_ world: LifecycleWorld) async throws -> [Int64: Int64] {
        let rows = try await world.pool.execute(
            PostgresStatement("failover_generations", "select id, generation from evergrant.connections"), [])
        return try Dictionary(rows.map { try $0.decode(Int64.self, Int64.self) }, uniquingKeysWith: { $1 })
    }

    /// Token sets that the provider has given since and that the standby does not know.
    private func lost(_ world: LifecycleWorld, _ before: [Int64: Int64]) async throws -> Int {
        let now = world.sandbox.state.grants().reduce(0) { $0 + $1.generation }
        return now - before.values.reduce(0) { $0 + Int($1) }
    }
}

/// What a failover came to.
struct FailoverReport: Codable, Sendable {
    var connections = 0
    /// Token sets that were committed on the first server alone.
    var generationsLost = 0
    /// From the promotion until everything had been renewed.
    var recoverySeconds = 0.0
    var reckoning = Reckoning()

    var isClean: Bool { reckoning.isClean && reckoning.findings.isEmpty }
}
