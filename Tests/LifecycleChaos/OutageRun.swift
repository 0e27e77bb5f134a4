import ChaosSupport
import Foundation
import LifecycleSupport
import Pacing
import Postgres
import Sandbox
import Store
import TestSupport

/// The database goes away while so many refreshes are on their way: every answer arrives where it cannot be committed.
struct OutageRun {
    let refreshes: Int
    let duration: Duration

    func conduct(on ground: Ground) async throws -> OutageReport {
        var report = OutageReport()
        try await LifecycleWorld.on(TestDatabase(at: await ground.url)) { world in
            report = try await conduct(world)
        }
        return report
    }

    private static let classes: [ProviderClass] = [.replayable, .untilUsed, .windowed, .strict, .strictFamily]

    private func conduct(_ world: LifecycleWorld) async throws -> OutageReport {
        var report = OutageReport()
        report.refreshes = refreshes
        report.outageSeconds = Double(duration.components.seconds)
        let connections = try await connect(world)
        let proxy = try Proxy(upstream: Proxy.socketPath(of: world.database.url))
        defer { proxy.stop() }
        // Long enough that nothing but the outage decides.
        let settings = Fleet.settings.merging([
            "EVERGRANT_LIFECYCLE_ATTEMPT_LENGTH": "150s", "EVERGRANT_LIFECYCLE_SEND_WITHIN": "30s",
            "EVERGRANT_LIFECYCLE_REQUEST_TIMEOUT": "110s", "EVERGRANT_LIFECYCLE_CLAIM": "15m",
            "EVERGRANT_WORKER_CONCURRENCY": "\(refreshes)", "EVERGRANT_SCHEDULER_SWEEP_BATCH": "2000",
        ]) { $1 }
        var processes: [FleetProcess] = []
        for role in ["scheduler", "worker", "worker"] {
            let url = Proxy.url(port: try proxy.add().port, database: world.databaseName)
            processes.append(try FleetProcess(role, in: world, url: url, settings: settings))
        }
        defer { for process in processes where process.isRunning { process.kill() } }
        let gate = world.sandbox.state.addGate(SandboxSelector(nil, .tokenRefresh), .after)
        try await world.pool.execute(
            PostgresStatement("outage_due", "update evergrant.connections set refresh_due_at = now()"), [])
        guard await gate.wait(for: refreshes, atMost: .seconds(90)) else {
            throw ChaosError("only \(gate.waiting) of \(refreshes) refreshes reached the provider in 90 s")
        }
        proxy.set(.cut)
        gate.release()
        let began = BootInstant.now()
        try await Task.sleep(for: duration)
        proxy.set(.open)
        let healed = BootInstant.now()
        let deadline = healed.advanced(by: .seconds(120))
        while .now() < deadline {
            let row = try await world.pool.execute(
                PostgresStatement(
                    "outage_left",
                    "select count(*) from evergrant.connections where generation = 1 or attempt_nonce is not null"),
                []
            ).first
            if let row, try row.decode(Int.self) == 0 { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        report.recoverySeconds = healed.duration(to: .now()).seconds
        report.outageSeconds = began.duration(to: healed).seconds
        let words = processes.map { "\($0.role), running \($0.isRunning): " + $0.output.suffix(1500) }
        for process in processes { process.stop() }
        for (connection, account) in connections {
            report.reckoning = report.reckoning + (try await world.reckon(connection, account: account))
        }
        if !report.isClean { report.reckoning.findings.insert(contentsOf: words, at: 0) }
        return report
    }

    private func connect(_ world: LifecycleWorld) async throws -> [(ConnectionRecord, String)] {
        try await withThrowingTaskGroup(of: [(ConnectionRecord, String)].self) { group in
            for lane in 0..<8 {
                group.addTask {
                    var made: [(ConnectionRecord, String)] = []
                    for number in stride(from: lane, to: refreshes, by: 8) {
                        let account = "o\(number)@example.com"
                        let provider = Self.classes[number % Self.classes.count].rawValue
                        made.append(
                            (
                                try await world.connect(
                                    provider, account: account, life: 3600, identity: "o\(number)"), account
                            ))
                    }
                    return made
                }
            }
            return try await group.reduce([]) { $0 + $1 }
        }
    }
}

/// What an outage under load came to.
struct OutageReport: Codable, Sendable {
    var refreshes = 0
    var outageSeconds = 0.0
    /// From the database's return until the last refresh was committed.
    var recoverySeconds = 0.0
    var reckoning = Reckoning()

    /// Nothing lost, and no token presented twice: no answer was lost, so there was no reason to.
    var isClean: Bool { reckoning.isClean && reckoning.replays == 0 }
}
