import Catalog
import Credentials
import Foundation
import Testing

@Suite struct `the bundled catalog` {
    let catalog: IntegrationCatalog
    let withSandbox: IntegrationCatalog

    init() throws {
        catalog = try IntegrationCatalog()
        withSandbox = try IntegrationCatalog(variables: ["sandbox_base": "http://127.0.0.1:7080"])
    }

    @Test func `has the first dozen and more, and no sandbox unless its address is given`() {
        let ids = Set(catalog.integrations.map(\.id))
        let dozen: Set = [
            "gmail", "google-calendar", "slack", "slack-user", "salesforce", "quickbooks", "quickbooks-sandbox",
            "hubspot", "exa", "github", "outlook", "notion", "xero", "jira",
        ]
        #expect(dozen.isSubset(of: ids) && !ids.contains { $0.hasPrefix("sandbox") })
        let classes = ["replayable", "until-used", "windowed", "strict", "strict-family", "strict-app", "key"]
        #expect(Set(withSandbox.integrations.map(\.id)).subtracting(ids) == Set(classes.map { "sandbox-\($0)" }))
    }

    @Test func `names a source for every provider and integration`() {
        for provider in withSandbox.providers { #expect(!provider.sources.isEmpty, "\(provider.id)") }
        for integration in withSandbox.integrations {
            #expect(!integration.sources.isEmpty, "\(integration.id)")
            #expect(integration.probe != nil && integration.apiBase != nil, "\(integration.id)")
        }
    }

    @Test func `keeps every bundled address on https, and the sandbox on this machine`() {
        for provider in catalog.providers {
            #expect(provider.tokenURL.text.hasPrefix("https://"))
            #expect(provider.reach == Reach())
        }
        for provider in withSandbox.providers where provider.id.hasPrefix("sandbox-") {
            #expect(provider.reach.isSandbox && provider.reach.allowsPlainHTTP)
        }
    }

    @Test(arguments: ["replayable", "until-used", "windowed", "strict", "strict-family", "strict-app"])
    func `points each sandbox class at its own server`(name: String) throws {
        let integration = try #require(withSandbox.integration("sandbox-\(name)"))
        let provider = try #require(withSandbox.provider(of: integration))
        let base = "http://127.0.0.1:7080/\(name)"
        #expect(try provider.authorizationURL.resolve([:]) == "\(base)/authorize")
        #expect(try provider.tokenURL.resolve([:]) == "\(base)/token")
        #expect(try provider.revocation?.url.resolve([:]) == "\(base)/revoke")
        #expect(try integration.apiBase?.resolve([:]) == "\(base)/api")
        #expect(try integration.probe?.url.resolve([:]) == "\(base)/api/me")
    }

    @Test func `gives each sandbox class its replay class and harm`() throws {
        func replay(_ name: String) -> ReplayFacts? { withSandbox.provider("sandbox-\(name)")?.replay }
        #expect(replay("replayable") == ReplayFacts(replayClass: .replayable, harm: .none))
        #expect(replay("until-used") == ReplayFacts(replayClass: .untilUsed, harm: .none))
        #expect(replay("windowed") == ReplayFacts(replayClass: .windowed(seconds: 600), harm: .none))
        #expect(replay("strict") == ReplayFacts(replayClass: .strict, harm: .none))
        #expect(replay("strict-family") == ReplayFacts(replayClass: .strict, harm: .family))
        #expect(replay("strict-app") == ReplayFacts(replayClass: .strict, harm: .app))
        let quick = try IntegrationCatalog(
            variables: ["sandbox_base": "http://127.0.0.1:7080", "sandbox_window": "3"])
        #expect(quick.provider("sandbox-windowed")?.replay.replayClass == .windowed(seconds: 3))
    }

    @Test func `refuses a sandbox address outside this machine`() {
        let error = #expect(throws: CatalogError.self) {
            try IntegrationCatalog(variables: ["sandbox_base": "http://10.0.0.5:7080"])
        }
        #expect(error?.description.contains("outside this machine") == true)
    }

    @Test func `knows the replay classes of the dozen`() {
        func replayClass(_ id: String) -> ReplayClass? { catalog.provider(id)?.replay.replayClass }
        #expect(replayClass("google") == .replayable)
        #expect(replayClass("hubspot") == .replayable)
        #expect(replayClass("microsoft") == .replayable)
        #expect(replayClass("xero") == .windowed(seconds: 1800))
        #expect(replayClass("atlassian") == .windowed(seconds: 600))
        #expect(replayClass("github") == .strict)
        #expect(replayClass("notion") == .strict)
    }

    @Test func `is found by words and category`() {
        #expect(catalog.search("google cal").map(\.id) == ["google-calendar"])
        #expect(Set(catalog.search(nil, category: "crm").map(\.id)) == ["hubspot", "salesforce"])
        #expect(catalog.search("nothing of the kind").isEmpty)
    }

    @Test func `proposes the nearest integration for a misspelt one`() {
        let error = #expect(throws: InvalidValue.self) { try catalog.integration(named: "gmial") }
        #expect(error?.repair == "did you mean gmail?")
    }
}
