import EmbeddedPostgres
import Foundation

/// A process of the run; `setpriv` (util-linux), where it is installed, kills it when the conductor goes, also while it is
/// stopped.
struct Child: Sendable {
    let name: String
    private let process: ChildProcess

    /// Starts this executable with `orders`.
    init(_ orders: ProcessOrders) async throws {
        name = orders.name
        let argument = String(decoding: try JSONEncoder().encode(orders), as: UTF8.self)
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var command = [executable, "process", argument]
        if let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].first(where: {
            FileManager.default.isExecutableFile(atPath: $0)
        }) {
            command = [setpriv, "--pdeathsig", "KILL", "--"] + command
        }
        process = try await ChildProcess.start(
            command, environment: ProcessInfo.processInfo.environment, output: "\(orders.directory)/\(name).log")
    }

    /// 0 to 255 as exit status, or 128 and the signal; nil while it runs.
    var status: Int32? { process.exitStatus }

    /// False when it has ended already.
    @discardableResult
    func send(_ signal: Int32) -> Bool { process.send(signal: signal) }

    func end() async -> Int32 { await process.end() }
}
