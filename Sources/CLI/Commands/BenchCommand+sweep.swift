import ArgumentParser
import Benchmark
import Foundation
import Logging

extension BenchCommand {
    struct Sweep: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure planning over a million connections: smoothing, cost and indexes of a sweep, memory.",
            discussion: """
                Makes a private Postgres under /var/tmp and removes it. Fails when due times are not smooth (peak over 1.5 \
                times the mean) or a sweep reads more than its indexes.

                Example: evergrant bench sweep --connections 200000
                """)

        @Option(name: .long, help: "Connections, all made within one minute.")
        var connections = SweepBenchmarkOptions().connections
        @Option(
            name: .long,
            help: ArgumentHelp(
                "Use this server, as a role that may create databases; visible in process lists.", valueName: "postgres"
            ))
        var url: String?

        func validate() throws {
            guard connections >= 5000 else { throw ValidationError("--connections takes 5000 or more") }
        }

        func run() async throws {
            var options = SweepBenchmarkOptions()
            options.connections = connections
            options.url = url
            options.program = BenchCommand.program
            LoggingSystem.bootstrap { label in
                var handler = StreamLogHandler.standardError(label: label)
                handler.logLevel = .error
                return handler
            }
            let report = try await SweepBenchmark(options, logger: Logger(label: "bench")) { line in
                FileHandle.standardError.write(Data((line + "\n").utf8))
            }.run()
            print(report)
        }
    }
}
