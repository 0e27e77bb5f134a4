import Foundation
import Pacing
import Postgres

/// A queue from PyPI, measured beside ours by a driver in Benchmarks/queues, which says which settings and why.
struct PublicQueue: Sendable {
    /// The driver's file.
    let script: String
    /// The most jobs of its burn-down, so that one round takes a minute and not an hour; its rate does not grow with more.
    let mostJobs: Int

    static let all = [
        PublicQueue(script: "use_pgqueuer.py", mostJobs: 100_000),
        PublicQueue(script: "use_procrastinate.py", mostJobs: 10_000),
    ]

    struct Orders: Encodable, Sendable {
        let shape: String
        var batch = 1
        var seconds = 0.0
        var jobs = 0
        var probes = 0
    }

    struct Round: Sendable {
        /// Name and version.
        let subject: String
        let settings: String
        let throughput: Throughput
        /// Milliseconds from call to handler.
        let ages: [Double]
    }

    private struct Ready: Decodable {
        let ready: String
        let name: String
        let version: String
    }

    private struct Done: Decodable {
        let jobs: Int
        let seconds: Double
        let ages: [Double]
    }

    /// One round on a database of its own. Throws `BenchmarkError` when the driver fails or counts a job too many or few.
    func run(_ orders: Orders, on server: BenchmarkServer, meter: Meter, _ options: QueueBenchmarkOptions) async throws
        -> Round
    {
        guard let python = options.python else { throw BenchmarkError(.invalid, "public queues need a Python") }
        let path = URL(filePath: options.drivers).appending(path: script).path
        guard FileManager.default.fileExists(atPath: path) else {
            throw BenchmarkError(.invalid, "\(path) is missing; run in the repository, or give the drivers' directory")
        }
        let url = try await server.makeDatabase("public")
        do {
            let process = try SecondProcess([python, path], environment: ["PYTHONDONTWRITEBYTECODE": "1"])
            let round: Round
            do {
                round = try await run(orders, with: process, url: url, meter: meter)
            } catch {
                await process.close()
                throw error
            }
            let status = await process.close()
            guard status == 0 else {
                throw BenchmarkError(
                    .wrongCount, "\(round.subject) ended with status \(status): \(process.complaints)")
            }
            try await server.dropDatabase("public")
            return round
        } catch {
            try? await server.dropDatabase("public")
            throw error
        }
    }

    private func run(
        _ orders: Orders, with process: SecondProcess, url: String, meter: Meter
    ) async throws -> Round {
        struct Sent: Encodable {
            let shape, dsn: String
            let batch, jobs, probes: Int
            let seconds: Double
        }
        let sent = Sent(
            shape: orders.shape, dsn: url, batch: orders.batch, jobs: orders.jobs, probes: orders.probes,
            seconds: orders.seconds)
        process.write(line: String(decoding: try JSONEncoder().encode(sent), as: UTF8.self))
        let ready = try JSONDecoder().decode(Ready.self, from: Data(try await process.line().utf8))
        let start = try await meter.read(with: process.processID)
        process.write(line: "go")
        let done = try JSONDecoder().decode(Done.self, from: Data(try await process.line().utf8))
        let end = try await meter.read(with: process.processID)
        return Round(
            subject: "\(ready.name) \(ready.version)", settings: ready.ready,
            throughput: Throughput(
                jobs: done.jobs, seconds: done.seconds, consumption: meter.consumption(from: start, to: end)),
            ages: done.ages)
    }
}
