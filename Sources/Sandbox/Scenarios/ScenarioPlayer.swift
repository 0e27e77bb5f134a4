import Logging
import ServiceLifecycle

/// Plays scenarios one after another, each told in the log as it goes.
struct ScenarioPlayer: Service {
    private let state: SandboxState
    private let logger: Logger

    init(_ state: SandboxState, logger: Logger) {
        self.state = state
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await (scenario, scale) in state.scenarios { await play(scenario, scale: scale) }
        }
    }

    private func play(_ scenario: SandboxScenario, scale: Double) async {
        state.isPlaying(scenario.name)
        defer { state.isPlaying(nil) }
        logger.notice("scenario \(scenario.name) begins", metadata: ["summary": "\(scenario.summary)"])
        var now = 0.0
        for step in scenario.steps {
            let wait = max(0, step.after - now) * scale
            // Cancelled only when the server ends.
            guard (try? await Task.sleep(for: .seconds(wait))) != nil else { return }
            now = step.after
            step.act(state)
            logger.notice("scenario \(scenario.name): \(step.says)")
        }
        logger.notice("scenario \(scenario.name) is over")
    }
}
