import ArgumentParser
import Benchmark
import Foundation
import Logging

extension BenchCommand {
    struct Refresh: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure refreshes a second: worker, scheduler, Postgres and a provider, each a process.",
            discussion: """
                Makes a private Postgres with durable commits under /var/tmp, fills it with connections, lets all of them \
                come due at once and tells how many were refreshed a second, what each process used for one, and what \
                keeps the rate from being higher. The provider answers after a fixed time and costs next to nothing.

                Example: evergrant bench refresh --class rotating-tls --latency 50 --connections 10000
                """)

        @Option(
            name: .customLong("class"),
            help:
                "Only this class: \(RefreshBenchmarkOptions.Kind.allCases.map(\.rawValue).joined(separator: ", ")). Repeatable."
        )
        var kinds: [String] = []
        @Option(name: .long, help: "Milliseconds from request to answer; repeatable. Default 50 and 500.")
        var latency: [Double] = []
        @Option(name: .long, help: "Connections that come due at once.")
        var connections = RefreshBenchmarkOptions().connections
        @Option(name: .long, help: "Rounds, after one to warm up.")
        var rounds = RefreshBenchmarkOptions().rounds
        @Option(name: .long, help: "Worker processes.")
        var workers = RefreshBenchmarkOptions().workers
        @Option(name: .long, help: "Attempts at once of each worker. Default: enough for 4,000 a second.")
        var concurrency: Int?
        @Option(name: .long, help: "Database connections of each worker.")
        var databaseConnections = RefreshBenchmarkOptions().databaseConnections
        @Option(
            name: .long,
            help: ArgumentHelp(
                "Use this server, as a role that may create databases; visible in process lists.", valueName: "postgres"
            ))
        var url: String?
        @Option(name: .long, help: ArgumentHelp("Write everything measured to this file.", valueName: "file"))
        var json: String?

        func validate() throws {
            for name in kinds where RefreshBenchmarkOptions.Kind(rawValue: name) == nil {
                throw ValidationError("--class \(name) is not a class; see --help")
            }
            guard connections > 0, rounds > 0, workers > 0, databaseConnections > 1 else {
                throw ValidationError("--connections, --rounds and --workers take 1 or more, --database-connections 2")
            }
            guard latency.allSatisfy({ (0...60_000).contains($0) }),
                concurrency.map({ (1...10_000).contains($0) }) ?? true
            else { throw ValidationError("--latency takes 0 to 60000, --concurrency 1 to 10000") }
        }

        func run() async throws {
            var options = RefreshBenchmarkOptions()
            if !kinds.isEmpty { options.kinds = kinds.compactMap(RefreshBenchmarkOptions.Kind.init(rawValue:)) }
            if !latency.isEmpty { options.latencies = latency }
            options.connections = connections
            options.rounds = rounds
            options.workers = workers
            options.concurrency = concurrency
            options.databaseConnections = databaseConnections
            options.url = url
            options.program = BenchCommand.program
            LoggingSystem.bootstrap { label in
                var handler = StreamLogHandler.standardError(label: label)
                handler.logLevel = .error
                return handler
            }
            let report = try await RefreshBenchmark(options, logger: Logger(label: "bench")) { line in
                FileHandle.standardError.write(Data((line + "\n").utf8))
            }.run()
            print(report.text)
            guard let json else { return }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            encoder.dateEncodingStrategy = .iso8601
            encoder.keyEncodingStrategy = .convertToSnakeCase
            try encoder.encode(report).write(to: URL(filePath: json))
        }
    }
}
