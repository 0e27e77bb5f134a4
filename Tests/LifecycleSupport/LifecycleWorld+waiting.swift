import Credentials
import Egress
import Pacing
import Sandbox

extension LifecycleWorld {
    package func gate(_ provider: String, _ point: String) async throws -> String {
        let made = try await control(
            "gates", #"{"class":"\#(provider)","endpoint":"token-refresh","point":"\#(point)","count":1}"#)
        return made.firstMatch(of: /"id":\s*"(t\d+)"/)?.1.description ?? ""
    }

    package func waitAtGate(_ gate: String) async throws {
        let outcome = await egress.send(
            .init(method: "GET", url: "\(base)/control/gates/\(gate)/wait?timeout_ms=10000", policy: .loopbackOnly))
        guard case .answered(let answer) = outcome, answer.status == 200 else {
            throw InvalidValue(item: "gate", problem: "\(outcome)", repair: "send a request")
        }
    }

    package func open(_ gate: String) async throws { try await control("gates/\(gate)/release", "{}") }

    /// Waits until the sandbox has processed so many refreshes.
    package func waitForRefreshes(_ count: Int) async throws {
        try await eventually { sandbox.state.grants().map(\.refreshes).reduce(0, +) >= count }
    }

    package func eventually(_ condition: () async throws -> Bool) async throws {
        let deadline = BootInstant.now().advanced(by: .seconds(20))
        while try await !condition() {
            if BootInstant.now() > deadline {
                throw InvalidValue(item: "condition", problem: "did not come true in 20 s", repair: "see the test")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
