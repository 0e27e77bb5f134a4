import ArgumentParser
import Benchmark
import Foundation
import Logging

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this build on this machine.",
        subcommands: [Queue.self, Refresh.self, Sweep.self, Child.self])

    struct Queue: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure the job queue, beside the same statements driven straight through libpq.",
            discussion: """
                Makes a private Postgres with durable commits under /var/tmp, or databases of its own on the server that \
                --url names, and removes them; what an interrupted run left, the next one removes. Progress goes to standard error, the tables to standard output. What is \
                in each number: docs/performance.md. All shapes take about half an hour.
                """)

        @Option(
            name: .long,
            help: "Only this shape: \(QueueShape.allCases.map(\.rawValue).joined(separator: ", ")). Repeatable.")
        var shape: [String] = []
        @Option(name: .long, help: "Seconds of each round of a throughput shape.")
        var seconds = QueueBenchmarkOptions().seconds
        @Option(name: .long, help: "Rounds of each side, taken in turns.")
        var pairs = QueueBenchmarkOptions().pairs
        @Option(name: .long, help: "Jobs in a batch, for life; repeatable.")
        var batch: [Int] = []
        @Option(name: .long, help: "Jobs of burndown.")
        var jobs = QueueBenchmarkOptions().jobs
        @Option(name: .long, help: "Jobs waiting, and dead entries, of backlog.")
        var backlog = QueueBenchmarkOptions().backlog
        @Option(name: .long, help: "Seconds that the reader of held-snapshot stays.")
        var hold = QueueBenchmarkOptions().holdSeconds
        @Option(name: .long, help: "Job runners, each with a pool of its own.")
        var runners = QueueBenchmarkOptions().runners
        @Option(
            name: .long, help: "Round trips at a time of each runner; the side in C has as many connections in all.")
        var exchanges = QueueBenchmarkOptions().exchanges
        @Option(name: .long, help: "Tasks that enqueue.")
        var enqueuers = QueueBenchmarkOptions().enqueuers
        @Option(
            name: .long,
            help: ArgumentHelp(
                "Use this server, as a role that may create databases; visible in process lists.", valueName: "postgres"
            ))
        var url: String?
        @Option(name: .long, help: ArgumentHelp("Keep the private cluster here; its disk counts.", valueName: "path"))
        var directory: String?
        @Option(name: .long, help: ArgumentHelp("Write everything measured to this file.", valueName: "file"))
        var json: String?
        @Option(
            name: .long,
            help: ArgumentHelp(
                "Measure public queues too, with this Python and Benchmarks/requirements.txt.", valueName: "path"))
        var python: String?
        @Option(name: .long, help: ArgumentHelp("Where the public queues' drivers are.", valueName: "path"))
        var drivers = QueueBenchmarkOptions().drivers

        func validate() throws {
            for name in shape where QueueShape(rawValue: name) == nil {
                throw ValidationError("--shape \(name) is not a shape; see --help")
            }
            guard seconds > 0, hold > 0 else { throw ValidationError("--seconds and --hold take more than 0") }
            guard pairs > 0, runners > 0, exchanges > 0, enqueuers > 0 else {
                throw ValidationError("--pairs, --runners, --exchanges and --enqueuers take 1 or more")
            }
            guard batch.allSatisfy({ (1...10_000).contains($0) }) else {
                throw ValidationError("--batch takes 1 to 10000")
            }
            guard jobs >= 1000, backlog >= 1000 else { throw ValidationError("--jobs and --backlog take 1000 or more") }
        }

        func run() async throws {
            var options = QueueBenchmarkOptions()
            if !shape.isEmpty { options.shapes = shape.compactMap(QueueShape.init(rawValue:)) }
            if !batch.isEmpty { options.batches = batch }
            options.seconds = seconds
            options.pairs = pairs
            options.jobs = jobs
            options.backlog = backlog
            options.holdSeconds = hold
            options.runners = runners
            options.exchanges = exchanges
            options.enqueuers = enqueuers
            options.url = url
            options.directory = directory
            options.python = python
            options.drivers = drivers
            options.childCommand = [BenchCommand.program, "bench", "child"]
            LoggingSystem.bootstrap { label in
                var handler = StreamLogHandler.standardError(label: label)
                handler.logLevel = .error
                return handler
            }
            let report = try await QueueBenchmark(options, logger: Logger(label: "bench")) { line in
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

    /// This executable, to be started again as a second process.
    static var program: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// The second process of shapes that need one; what to do is in its environment.
    struct Child: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A process of `bench queue`, started by it.", shouldDisplay: false)

        func run() async throws { try await BenchmarkChild.run(logger: Logger(label: "bench-child")) }
    }
}
