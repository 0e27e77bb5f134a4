import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// `queue-chaos`: makes processes of the queue, disturbs them, and proves from what they wrote down that nothing was lost
/// and nothing done twice. docs/queue-chaos.md tells what is recorded and proved.
@main
struct QueueChaos {
    static func main() async {
        do {
            let arguments = Array(CommandLine.arguments.dropFirst())
            if arguments.first == "process", arguments.count == 2 {
                try await runProcess(arguments[1])
                exit(0)
            }
            guard let options = try ConductOptions(arguments) else {
                print(ConductOptions.help)
                exit(0)
            }
            let report = try await Conductor(options).conduct()
            print(report.text)
            if let path = options.reportPath {
                try JSONEncoder().encode(report).write(to: URL(filePath: path))
            }
            exit(report.violations.isEmpty ? 0 : 1)
        } catch {
            FileHandle.standardError.write(Data("queue-chaos: \(error)\n".utf8))
            exit(2)
        }
    }

    /// A process of a run, as the conductor starts it.
    private static func runProcess(_ argument: String) async throws {
        let orders = try JSONDecoder().decode(ProcessOrders.self, from: Data(argument.utf8))
        let history = try HistoryFile(directory: orders.directory, name: orders.name)
        switch orders.role {
        case .worker: try await WorkerProcess(orders, history).run()
        case .observer: try await ObserverProcess(orders, history).run()
        case .enqueuer: try await EnqueuerProcess(orders, history).run()
        }
    }
}
