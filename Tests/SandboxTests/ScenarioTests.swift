import Foundation
import Testing

@testable import Sandbox

@Suite struct ScenarioTests {
    @Test func `every scenario has a name of its own, and its steps are in order`() {
        #expect(Set(SandboxScenario.all.map(\.name)).count == SandboxScenario.all.count)
        for scenario in SandboxScenario.all {
            let times = scenario.steps.map(\.after)
            #expect(times == times.sorted(), "\(scenario.name)")
            #expect(!times.isEmpty)
        }
    }

    @Test func `what a scenario breaks, it heals, unless an operator has to`() {
        for scenario in SandboxScenario.all where scenario.name != "expired-secret" {
            let state = SandboxState()
            for step in scenario.steps { step.act(state) }
            #expect(state.faults.isEmpty, "\(scenario.name)")
        }
    }

    @Test func `a secret that has expired is refused and the other is good`() throws {
        let state = SandboxState()
        let scenario = try #require(SandboxScenario.named("expired-secret"))
        for step in scenario.steps { step.act(state) }
        let client = try #require(state.withBook { book, _ in book.clients[SandboxConfiguration.clientID] })
        #expect(client.check(SandboxConfiguration.clientSecret) == .expired)
        #expect(client.check("sandbox-secret-2") == .good)
        #expect(client.check("another") == .wrong)
    }
}
