import HTTPTypes

/// Calls that play scenarios.
extension ControlEndpoint {
    private struct ScenarioReport: Encodable {
        let name: String
        let summary: String
    }

    private struct ScenarioList: Encodable {
        let scenarios: [ScenarioReport]
        /// The one that is being played.
        let playing: String?
    }

    func scenarios(_ call: Call) async throws(ControlRefusal) -> Done {
        guard call.path.count == 1 else { throw Self.misdirected(call) }
        switch call.method {
        case .get:
            return Done(
                body: ScenarioList(
                    scenarios: SandboxScenario.all.map { ScenarioReport(name: $0.name, summary: $0.summary) },
                    playing: state.playing))
        case .post:
            var body = try await call.body()
            let name = try body.text("name")
            let scale = try body.number("scale", in: 0.001...100) ?? 1
            try body.finish()
            guard let name, let scenario = SandboxScenario.named(name) else {
                throw .malformed(
                    "`name` is no scenario; use one of " + SandboxScenario.all.map(\.name).joined(separator: ", "))
            }
            state.play(scenario, scale: scale)
            return Done(status: 202, body: ScenarioReport(name: scenario.name, summary: scenario.summary))
        default: throw Self.misdirected(call)
        }
    }
}
