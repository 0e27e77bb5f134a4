import ArgumentParser
import Bootstrap
import Sandbox

struct SandboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox", abstract: "Run the test provider: OAuth of every replay class, API keys, faults.",
        discussion: """
            It accepts any account and has a control API without a password: keep it on loopback. Give fronts, \
            schedulers and workers EVERGRANT_SANDBOX_URL, and its integrations appear in their catalog.
            """)

    @OptionGroup var options: ConfigurationOptions
    @Option(name: .long, help: "Address to listen on.")
    var host = "127.0.0.1"
    @Option(name: .long, help: "Port to listen on.")
    var port = 7080
    @Option(
        name: .long,
        help: ArgumentHelp("Keep grants, tokens and settings in this file over restarts.", valueName: "path"))
    var state: String?
    @Flag(name: .long, help: "Stop in order when standard input ends, and ignore Ctrl-C.")
    var stopWithStdin = false

    func validate() throws {
        guard (1...65535).contains(port) else { throw ValidationError("--port takes 1 to 65535") }
    }

    func run() async throws {
        let stopper = stopWithStdin ? InputWatch.begin() : nil
        let logger = try options.load(needs: []).log.bootstrap(label: "sandbox")
        try PortCheck.require(host: host, port: port, setting: "--port")
        let server = SandboxServer(
            configuration: SandboxConfiguration(host: host, port: port, stateFile: state), logger: logger)
        try await ProcessOptions.serve([server], logger: logger, grace: .seconds(5), heedsInterrupt: stopper == nil)
    }
}
