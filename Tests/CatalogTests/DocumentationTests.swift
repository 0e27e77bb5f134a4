import Catalog
import Credentials
import Foundation
import Testing

@Suite struct `docs/catalog.md` {
    /// The fenced YAML blocks of the page.
    private func examples() throws -> [String] {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/catalog.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        return text.components(separatedBy: "```yaml\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
    }

    @Test func `has examples that load, one by one and together`() throws {
        let examples = try examples()
        #expect(examples.count == 3)
        let sources = examples.enumerated().map { CatalogSource(name: "example\($0.offset).yaml", text: $0.element) }
        for source in sources { _ = try IntegrationCatalog(sources: [source]) }
        let catalog = try IntegrationCatalog(sources: sources)
        #expect(Set(catalog.integrations.map(\.id)) == ["acme-crm", "keycloak-local", "gitea", "helpdesk"])
        let local = try #require(catalog.provider("keycloak-local"))
        #expect(local.reach == Reach(networks: ["127.0.0.0/8"], allowsPlainHTTP: true))
        #expect(try local.tokenURL.resolve([:]).hasPrefix("http://127.0.0.1:8180/realms/dev/"))
        #expect(catalog.provider("acme")?.replay == ReplayFacts(replayClass: .strict, harm: .family))
    }
}
