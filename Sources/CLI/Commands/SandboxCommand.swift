import ArgumentParser
import Bootstrap
import Sandbox

struct SandboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox", abstract: "Run the test provider: OAuth of every replay class, API keys, faults.",
        discussion: """
            It accepts any account and has a control API without a password: keep it on loopback. Give fronts, \
            schedulers and workers EVERGRANT_SANDBOX_URL, and its integrations appear in their catalog.

            Rehearse an incident:  evergrant sandbox --scenario outage
            All of them:           evergrant sandbox --scenario list
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
    @Option(
        name: .long,
        help: ArgumentHelp("Listen on this address too, as one more token host. Repeatable.", valueName: "host"))
    var alsoOn: [String] = []
    @Option(name: .long, help: ArgumentHelp("Play this incident; `list` prints all.", valueName: "name"))
    var scenario: String?
    @Option(name: .long, help: "Multiplies the scenario's times: 0.1 plays ten times as fast.")
    var scenarioScale = 1.0
    @Flag(name: .long, help: "Stop in order when standard input ends, and ignore Ctrl-C.")
    var stopWithStdin = false

    func validate() throws {
        guard (1...65535).contains(port) else { throw ValidationError("--port takes 1 to 65535") }
        guard (0.001...100).contains(scenarioScale) else {
            throw ValidationError("--scenario-scale takes 0.001 to 100")
        }
        if let scenario, scenario != "list", SandboxScenario.named(scenario) == nil {
            throw ValidationError(
                "there is no scenario \(scenario); use one of "
                    + SandboxScenario.all.map(\.name).joined(separator: ", "))
        }
    }

    func run() async throws {
        if scenario == "list" {
            let width = (SandboxScenario.all.map(\.name.count).max() ?? 0) + 2
            for one in SandboxScenario.all {
                print(one.name + String(repeating: " ", count: width - one.name.count) + one.summary)
            }
            return
        }
        let stopper = stopWithStdin ? InputWatch.begin() : nil
        let logger = try options.load(needs: []).log.bootstrap(label: "sandbox")
        try PortCheck.require(host: host, port: port, setting: "--port")
        for other in alsoOn { try PortCheck.require(host: other, port: port, setting: "--port") }
        var configuration = SandboxConfiguration(
            host: host, port: port, stateFile: state, otherHosts: alsoOn,
            scenario: scenario.flatMap(SandboxScenario.named))
        configuration.scenarioScale = scenarioScale
        let server = SandboxServer(configuration: configuration, logger: logger)
        try await ProcessOptions.serve([server], logger: logger, grace: .seconds(5), heedsInterrupt: stopper == nil)
    }
}
