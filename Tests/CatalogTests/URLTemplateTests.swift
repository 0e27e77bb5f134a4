import Catalog
import Credentials
import Testing

@Suite struct `URL templates` {
    /// A catalog of one provider whose token URL is `url`.
    private func catalog(tokenURL url: String, top: String = "") throws -> Provider {
        let catalog = try IntegrationCatalog(sources: [
            CatalogSource(
                name: "test.yaml",
                text: """
                    \(top)
                    providers:
                      acme:
                        authorization_url: https://acme.example.com/authorize
                        token_url: "\(url)"
                        parameters:
                          name: {type: label}
                          region: {type: enum, values: [us, eu], default: us}
                          domain: {type: host, suffixes: [.acme.example.com]}
                          server: {type: operator_host}
                        facts:
                          base: {answer: base, type: base_url, suffixes: [.acme.example.com]}
                          tenant: {answer: tenant, type: segment}
                          words: {answer: words, type: text}
                    """)
        ])
        return try #require(catalog.provider("acme"))
    }

    @Test(arguments: [
        ("https://acme.example.com/token", "acme.example.com", false),
        ("https://api.{region}.acme.example.com/token", "api.us.acme.example.com", false),
        ("https://{name}.acme.example.com/token", "acme-1.acme.example.com", true),
        ("https://{server}/token", "git.example.org:8443", false),
        ("https://acme.example.com/{tenant}/token", "acme.example.com/t1", true),
    ])
    func `trouble is counted by host, and by tenant where connections have their own`(
        url: String, name: String, isOfTenant: Bool
    ) throws {
        let template = try catalog(tokenURL: url).tokenURL
        let pinned = ["server": "git.example.org:8443"]
        let values = pinned.merging(["name": "acme-1", "tenant": "t1"]) { old, _ in old }
        let place = try template.place(values, pinned: pinned)
        #expect(place.name == name)
        #expect(place.isOfTenant == isOfTenant)
    }

    @Test(arguments: [
        ("https://{name}.acme.example.com/token", "https://acme-1.acme.example.com/token", true),
        ("https://{name}.{region}", "", true),
        ("https://api.{region}.acme.example.com/token", "https://api.us.acme.example.com/token", false),
        ("https://{domain}/token", "https://x.acme.example.com/token", true),
        ("https://{server}/token", "https://git.example.org:8443/token", false),
        ("{base}/token", "https://b.acme.example.com/base/token", true),
        (
            "https://acme.example.com/{tenant}/token?region={region}", "https://acme.example.com/t1/token?region=us",
            false
        ),
    ])
    func `fill in values by their types`(template: String, expected: String, isOutside: Bool) throws {
        guard !expected.isEmpty else {
            #expect(throws: CatalogError.self) { try catalog(tokenURL: template) }
            return
        }
        let url = try catalog(tokenURL: template).tokenURL
        let values = [
            "name": "acme-1", "domain": "x.acme.example.com", "server": "git.example.org:8443",
            "base": "https://b.acme.example.com/base/", "tenant": "t1",
        ]
        #expect(try url.resolve(values) == expected)
        #expect(url.hostIsOutside == isOutside)
    }

    @Test(arguments: [
        "evil.com", "evil.com/#", "a.b", "xn--e1awd7f", "user@evil", "a:8443", "Acme", "acme.", "acme\u{3002}evil", "",
        "%2e",
    ])
    func `refuse what would lead to another host`(value: String) throws {
        let url = try catalog(tokenURL: "https://{name}.acme.example.com/token").tokenURL
        let error = #expect(throws: InvalidValue.self) { try url.resolve(["name": value]) }
        #expect(error?.item == "name")
    }

    @Test(arguments: ["..", "a/../..", "%2e%2e", "x?y", "x#y"])
    func `refuse what would lead to another path`(value: String) throws {
        let url = try catalog(tokenURL: "https://acme.example.com/{tenant}/token").tokenURL
        #expect(throws: InvalidValue.self) { try url.resolve(["tenant": value]) }
    }

    @Test func `say which value is missing`() throws {
        let url = try catalog(tokenURL: "https://{domain}/token").tokenURL
        let error = #expect(throws: InvalidValue.self) { try url.resolve([:]) }
        #expect(error?.item == "domain" && error?.problem == "is missing")
    }

    @Test(arguments: [
        "http://acme.example.com/token", "ftp://acme.example.com/token", "acme.example.com/token", "https:///token",
        "https://user@acme.example.com/token", "https://Acme.example.com/token", "https://acme.example.com:99999/token",
        "https://acme.example.com/../token", "https://acme.example.com/token#x", "https://{domain}.evil.com/token",
        "https://x{name}.acme.example.com/token", "https://{name}acme.example.com/token", "https://{name}.com/token",
        "https://{name}/token", "https://{tenant}.acme.example.com/", "https://{words}.acme.example.com/",
        "https://acme.example.com/{words}", "https://acme.example.com/{domain}", "https://acme.example.com/{base}",
        "{domain}/token", "https://{base}/token", "https://acme.example.com/{unknown}",
        "https://acme.example.com/{tenant",
        "https://{name}.{region}.acme.example.com/token",
    ])
    func `that break a rule are refused when the catalog is loaded`(template: String) {
        #expect(throws: CatalogError.self) { try catalog(tokenURL: template) }
    }

    @Test func `may be plain http in an operator's file that allows it`() throws {
        let top = "allow_http: true\nnetworks: [127.0.0.0/8]"
        let provider = try catalog(tokenURL: "http://127.0.0.1:9000/token", top: top)
        #expect(try provider.tokenURL.resolve([:]) == "http://127.0.0.1:9000/token")
        #expect(provider.reach == Reach(networks: ["127.0.0.0/8"], allowsPlainHTTP: true))
    }
}
