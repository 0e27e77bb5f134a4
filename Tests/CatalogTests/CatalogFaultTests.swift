import Catalog
import Credentials
import Foundation
import Testing

@Suite struct `catalog files` {
    static let whole = """
        providers:
          acme:
            authorization_url: https://acme.example.com/authorize
            token_url: https://acme.example.com/token
        integrations:
          acme-crm:
            title: Acme CRM
            provider: acme
            category: crm
            api_base: https://api.acme.example.com
            probe: {path: /me}
        """

    private func faults(_ texts: String..., variables: [String: String] = [:]) -> [CatalogFault] {
        let sources = texts.enumerated().map { CatalogSource(name: "file\($0.offset).yaml", text: $0.element) }
        do {
            _ = try IntegrationCatalog(sources: sources, variables: variables)
            return []
        } catch { return error.faults }
    }

    @Test func `need no more than endpoints, and have defaults that are true to the RFCs`() throws {
        let catalog = try IntegrationCatalog(sources: [CatalogSource(name: "acme.yaml", text: Self.whole)])
        let provider = try #require(catalog.provider("acme"))
        #expect(provider.pkce == .s256)
        #expect(provider.clientAuthentication == .basic)
        #expect(provider.scopeSeparator == " ")
        #expect(provider.request.format == .form)
        #expect(provider.replay == ReplayFacts(replayClass: .strict, harm: .family))
        #expect(provider.verdicts == .generic)
        #expect(provider.revocation == nil)
        #expect(
            catalog.integration("acme-crm")?.placement == .header(name: "Authorization", prefix: "Bearer ", token: nil))
    }

    @Test func `tell how often a token endpoint may be asked, one limit of each scope`() throws {
        let limits = """
                limits:
                  - {per: grant, count: 10, seconds: 600}
                  - {per: provider, count: 30, seconds: 3600}

            """
        let text = Self.whole.replacing("integrations:", with: limits + "integrations:")
        let provider = try #require(
            try IntegrationCatalog(sources: [CatalogSource(name: "acme.yaml", text: text)]).provider("acme"))
        #expect(
            provider.limits == [
                RateLimit(scope: .grant, count: 10, seconds: 600),
                RateLimit(scope: .provider, count: 30, seconds: 3600),
            ])
        let twice = faults(text.replacing("per: provider", with: "per: grant"))
        #expect(twice.first?.description.contains("is the second limit per grant") == true)
        for wrong in ["per: client", "count: 0", "seconds: 86401"] {
            let key = wrong.prefix { $0 != ":" }
            let broken = text.replacing(try Regex("\(key): (grant|10|600)(?=[,}])"), with: wrong)
            #expect(!faults(broken).isEmpty, "\(wrong)")
        }
    }

    @Test func `with a misspelt key are refused with file, line, path and the right key`() {
        let found = faults(Self.whole.replacing("token_url", with: "tokn_url"))
        #expect(
            found.map(\.description) == [
                "file0.yaml:3: providers.acme: lacks the key `token_url`",
                "file0.yaml:4: providers.acme: unknown key `tokn_url`; did you mean `token_url`?",
            ])
    }

    @Test func `tell all their faults together`() {
        let first = """
            providers:
              one:
                authorization_url: http://one.example.com/authorize
                token_url: https://one.example.com/token
                pkce: S265
                replay: {class: windowd}
                verdicts: {dead: [{}]}
                lifetimes: {access_seconds: soon}
              Two: {}
            """
        let second = """
            integrations:
              gone:
                title: Gone
                provider: on
                colour: red
            networks: [everything]
            """
        let text = CatalogError(faults: faults(first, second)).description
        for part in [
            "is plain http", "not \"S265\"; did you mean S256?", "not \"windowd\"; did you mean windowed?",
            "verdicts.dead[0]: matches everything", "lifetimes.access_seconds: must be a whole number",
            "providers.Two: is no valid id", "names \"on\", which no file defines; did you mean one?",
            "lacks the key `category`", "unknown key `colour`; did you mean `color`?",
            "\"everything\" is not a network",
        ] {
            #expect(text.contains(part), "\(part)")
        }
    }

    @Test(arguments: [
        ("providers: [a", "is not YAML"), ("providers: 3", "must be a mapping"),
        ("providers: {a: {token_url: [x]}}", "must be a text or number, not a list"),
        ("providers:\n  a: {name: x}\n  a: {name: y}", "stands twice"), ("providers: {a: {name: }}", "has no value"),
        ("providers: {a: {token_url: \"https://x.example.com/${where}\"}}", "uses the variable ${where}"),
        ("allow_http: yes", "must be true or false"),
    ])
    func `of another form are refused in words`(text: String, problem: String) {
        #expect(CatalogError(faults: faults(text)).description.contains(problem))
    }

    @Test func `may not set what the protocol sets`() {
        let text = Self.whole.replacing("token_url:", with: "authorize: {state: x}\n    token_url:")
        #expect(CatalogError(faults: faults(text)).description.contains("may not set `state`"))
    }

    @Test func `switch PKCE off only with a source`() {
        let text = Self.whole.replacing("token_url:", with: "pkce: none\n    token_url:")
        #expect(CatalogError(faults: faults(text)).description.contains("providers.acme.pkce"))
        let sourced = text.replacing("pkce: none", with: "pkce: none\n    sources: [acme.example.com/docs]")
        #expect(faults(sourced).isEmpty)
    }

    @Test func `may split provider and integration, in any order`() {
        let parts = Self.whole.split(separator: "integrations:").map(String.init)
        #expect(faults("integrations:" + parts[1], parts[0]).isEmpty)
    }

    @Test func `of one rank may not define an id twice`() {
        let found = faults(Self.whole, Self.whole).map(\.description)
        #expect(found.contains("file1.yaml: providers.acme: is defined in file0.yaml already"))
    }

    @Test func `of an operator add to the bundled ones and replace them by id`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "catalog-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(Self.whole.utf8).write(to: folder.appending(path: "acme.yaml"))
        let own = Self.whole.replacing("acme-crm", with: "gmail").replacing("  acme:", with: "  google:")
            .replacing("provider: acme", with: "provider: google")
        try Data(own.utf8).write(to: folder.appending(path: "google.yml"))
        let catalog = try IntegrationCatalog(directories: [folder])
        #expect(catalog.integration("acme-crm") != nil)
        #expect(catalog.integration("gmail")?.title == "Acme CRM")
        #expect(catalog.provider("google")?.tokenURL.text == "https://acme.example.com/token")
        #expect(catalog.integration("google-calendar") != nil)
    }

    @Test func `that are not there are a fault too`() {
        let error = #expect(throws: CatalogError.self) {
            try IntegrationCatalog(directories: [URL(fileURLWithPath: "/nowhere/at/all")])
        }
        #expect(error?.description.contains("/nowhere/at/all: the folder cannot be read") == true)
    }
}
