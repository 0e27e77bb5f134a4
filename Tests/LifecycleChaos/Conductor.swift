import LifecycleSupport
import TestSupport

/// Makes a run: a private server, the histories, then the fleet, and the verdict.
struct Conductor: Sendable {
    let options: ConductOptions

    init(_ options: ConductOptions) { self.options = options }

    func conduct() async throws -> Report {
        var report = Report(options)
        if options.histories > 0 {
            report.histories = try await onGround("histories") { ground in
                var result = HistoriesReport()
                try await LifecycleWorld.on(
                    TestDatabase(at: await ground.url), timings: Histories.timings, window: HistoryPlayer.window
                ) { world in
                    result = try await Histories(
                        count: options.histories, seed: options.seed, guards: options.guards
                    ).play(in: world)
                }
                return result
            }
        }
        if options.seconds > 0 {
            report.fleet = try await onGround("fleet") { try await FleetRun(options: options).conduct(on: $0) }
        }
        if options.outage > 0 {
            report.outage = try await onGround("outage") {
                try await OutageRun(refreshes: options.refreshes, duration: .seconds(options.outage)).conduct(on: $0)
            }
        }
        if options.failsOver { report.failover = try await FailoverRun(workers: options.workers).conduct() }
        return report
    }

    private func onGround<Result: Sendable>(
        _ name: String, _ body: (Ground) async throws -> Result
    ) async throws -> Result {
        let ground = Ground(name)
        do {
            try await ground.start()
            let result = try await body(ground)
            await ground.end()
            return result
        } catch {
            await ground.end()
            throw error
        }
    }
}
