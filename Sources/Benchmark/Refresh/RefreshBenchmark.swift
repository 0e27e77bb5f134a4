import Foundation
import Logging
import Pacing
import Postgres

/// Measures refreshes: real processes on a database with durable commits, and a provider that answers after a fixed time.
///
/// All connections come due at once. The clock runs from the first attempt to the last commit, so planning, the queue, the
/// marks, the journal and the commits are inside it.
package struct RefreshBenchmark: Sendable {
    private let options: RefreshBenchmarkOptions
    private let logger: Logger
    private let say: @Sendable (String) -> Void

    package init(
        _ options: RefreshBenchmarkOptions, logger: Logger, say: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.options = options
        self.logger = logger
        self.say = say
    }

    /// - Throws: ``BenchmarkError`` when refreshes were lost or a process failed, and what the server throws.
    package func run() async throws -> QueueReport {
        var place = QueueBenchmarkOptions()
        place.url = options.url
        place.directory = options.directory
        place.durable = options.durable
        let server = try await BenchmarkServer.start(place, logger: logger)
        do {
            let report = try await measure(server)
            await server.stop()
            return report
        } catch {
            await server.stop()
            throw error
        }
    }

    private func measure(_ server: BenchmarkServer) async throws -> QueueReport {
        var report = QueueReport(
            conditions: try await Conditions.read(
                from: server.pool, syncing: server.directory,
                connection: server.isPrivate ? "all processes on one machine, unix socket" : "server that was named"))
        say(report.conditions.text)
        let postmaster = try await server.postmaster()
        for kind in options.kinds {
            for latency in options.latencies {
                let name = "refresh_\(kind.integration.suffix(4))_\(Int(latency))\(kind.isTLS ? "_tls" : "")"
                let url = try await server.makeMigratedDatabase(name)
                let directory = "/var/tmp/evergrant-bench-\(getpid())-fleet"
                try? FileManager.default.removeItem(atPath: directory)
                try FileManager.default.createDirectory(
                    atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                defer { try? FileManager.default.removeItem(atPath: directory) }
                report.figures.append(
                    try await measure(kind, latency, url: url, directory: directory, postmaster: postmaster))
                try await server.dropDatabase(name)
            }
        }
        return report
    }

    private func measure(
        _ kind: RefreshBenchmarkOptions.Kind, _ latency: Double, url: String, directory: String, postmaster: Int32?
    ) async throws -> Figure {
        let database = try RefreshDatabase(url: url, keyring: directory + "/keyring", logger: logger)
        do {
            try await database.fill(options.connections, integration: kind.integration)
            let fleet = try await RefreshFleet.start(
                kind, latency: latency, url: url, directory: directory, options: options)
            do {
                var rounds: [RefreshRound] = []
                for turn in 0...options.rounds {
                    let round = try await round(database, fleet, kind, postmaster)
                    say("\(kind.rawValue), \(Int(latency)) ms, round \(turn): \(Int(round.rate)) refreshes/s")
                    if turn > 0 { rounds.append(round) }
                }
                await fleet.stop()
                await database.pool.close()
                return figure(kind, latency, rounds)
            } catch {
                let complaints = fleet.complaints
                await fleet.stop(isLost: true)
                throw complaints.contains("error") || complaints.contains("warning")
                    ? BenchmarkError(.failed, "\(error): \(complaints.suffix(1500))") : error
            }
        } catch {
            await database.pool.close()
            throw error
        }
    }

    private func round(
        _ database: RefreshDatabase, _ fleet: RefreshFleet, _ kind: RefreshBenchmarkOptions.Kind, _ postmaster: Int32?
    ) async throws -> RefreshRound {
        try? await database.run("checkpoint")
        let due = try await database.makeDue(integration: kind.integration)
        let start = RefreshRound.Times.read(fleet, postmaster)
        let deadline = BootInstant.now().advanced(by: options.patience)
        while true {
            // Each look costs processor time that the fleet needs.
            try await Task.sleep(for: .milliseconds(250))
            let (done, seconds) = try await database.progress(since: due, integration: kind.integration)
            if done == options.connections {
                return RefreshRound(
                    count: done, seconds: seconds, start: start, end: .read(fleet, postmaster))
            }
            if BootInstant.now() > deadline {
                throw BenchmarkError(
                    .wrongCount, "\(options.connections - done) of \(options.connections) were not refreshed in time")
            }
        }
    }

    private func figure(_ kind: RefreshBenchmarkOptions.Kind, _ latency: Double, _ rounds: [RefreshRound]) -> Figure {
        let concurrency = options.concurrency(latency: latency)
        let cores = Double(ProcessInfo.processInfo.activeProcessorCount)
        return Figure(
            shape: "refresh \(kind.rawValue)", variant: "provider answers after \(Int(latency)) ms",
            subject: "evergrant",
            settings:
                "\(options.connections) connections, \(options.workers) worker\(options.workers == 1 ? "" : "s") of "
                + "concurrency \(concurrency) and \(options.databaseConnections) database connections; "
                + "\(RefreshRound.limit(rounds, slots: Double(concurrency * options.workers) / latency * 1000))",
            measures: RefreshRound.measures(rounds, cores: cores))
    }
}
