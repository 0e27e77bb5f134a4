import Catalog
import Credentials
import Testing

@Suite struct `typed values` {
    static let hosts = ValueKind.host(suffixes: ["login.salesforce.com", ".my.salesforce.com"])

    @Test(arguments: ["acme", "a", "acme--dev", "0-9", String(repeating: "a", count: 63)])
    func `a label is one DNS label`(value: String) throws {
        #expect(try ValueKind.label.check(value, item: "subdomain") == value)
    }

    @Test(arguments: [
        "", "evil.com", "evil.com/#", "evil.com#", "evil.com?", "a.b", "a/b", "a\\b", "user@evil", "a:443", "Acme",
        "ACME", "acme.",
        ".acme", "-acme", "acme-", "xn--80ak6aa92e", "ac me", "acme\n", "acme\t", "acme\0", "acme%2eevil", "аcme",
        "acme\u{3002}evil", "acme\u{ff0e}evil", "acme\u{2024}evil", "acme\u{ff61}evil", "a_b", "{x}", "acmé",
        String(repeating: "a", count: 64),
    ])
    func `everything else is refused as a label, with the reason`(value: String) {
        let error = #expect(throws: InvalidValue.self) { try ValueKind.label.check(value, item: "subdomain") }
        #expect(error?.item == "subdomain")
        #expect(error?.problem.isEmpty == false && error?.repair.isEmpty == false)
    }

    @Test(arguments: ["login.salesforce.com", "acme.my.salesforce.com", "acme--dev.sandbox.my.salesforce.com"])
    func `a host is one of the catalog's, or under its suffixes`(value: String) throws {
        #expect(try Self.hosts.check(value, item: "domain") == value)
    }

    @Test(arguments: [
        "", "evil.com", "evil.com/#", "evil.com/.my.salesforce.com", "evil.com#.my.salesforce.com",
        "evil.com?.my.salesforce.com", "evil.com\\.my.salesforce.com", "evil.com@login.salesforce.com",
        "login.salesforce.com@evil.com", "login.salesforce.com:443", "login.salesforce.com:80@evil.com",
        "https://login.salesforce.com", "//login.salesforce.com", "login.salesforce.com/", "login.salesforce.com.",
        "LOGIN.salesforce.com", "my.salesforce.com", ".my.salesforce.com", "..my.salesforce.com",
        "evilmy.salesforce.com", "evil-my.salesforce.com", "login.salesforce.com.evil.com", "xn--e.my.salesforce.com",
        "a.xn--p1ai", "evil\u{3002}my.salesforce.com", "evil\u{ff0e}com.my.salesforce.com", "аcme.my.salesforce.com",
        "acme .my.salesforce.com", "acme\n.my.salesforce.com", "acme%2f.my.salesforce.com", "localhost", "127.0.0.1",
        "0x7f.1", "2130706433", "[::1]", "169.254.169.254",
    ])
    func `everything else is refused as a host`(value: String) {
        #expect(throws: InvalidValue.self) { try Self.hosts.check(value, item: "domain") }
    }

    @Test func `an enum takes its own values only`() throws {
        let kind = ValueKind.options(["us", "eu"])
        #expect(try kind.check("eu", item: "region") == "eu")
        let error = #expect(throws: InvalidValue.self) { try kind.check("eu ", item: "region") }
        #expect(error?.repair == "use one of us, eu")
    }

    @Test(arguments: [
        "gitlab.example.com", "gitlab.example.com:8443", "10.0.0.5", "10.0.0.5:80", "gitlab", "gitlab:80",
    ])
    func `an operator's host may have a port or be an address`(value: String) throws {
        #expect(try ValueKind.operatorHost.check(value, item: "host") == value)
    }

    @Test(arguments: [
        "gitlab.example.com:0", "gitlab.example.com:65536", "gitlab.example.com:080", "a:b:c", "a@b", "a/b",
    ])
    func `an operator's host has no path, user or odd port`(value: String) {
        #expect(throws: InvalidValue.self) { try ValueKind.operatorHost.check(value, item: "host") }
    }

    @Test(arguments: [
        "", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "a b", "a\r\nb", "ä", String(repeating: "a", count: 129),
    ])
    func `a segment cannot leave its place`(value: String) {
        #expect(throws: InvalidValue.self) { try ValueKind.segment(pattern: nil).check(value, item: "realm") }
    }

    @Test func `a segment matches its pattern as a whole`() throws {
        let kind = ValueKind.segment(pattern: "[0-9]+")
        #expect(try kind.check("123146090856284", item: "realmId") == "123146090856284")
        #expect(throws: InvalidValue.self) { try kind.check("12x", item: "realmId") }
    }
}

@Suite struct `hosts named by answers` {
    let suffixes = [".salesforce.com", ".force.com"]

    @Test(arguments: [
        ("https://na1.salesforce.com", "https://na1.salesforce.com"),
        ("https://Acme.My.Salesforce.com/", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/services", "https://acme.my.salesforce.com/services"),
    ])
    func `are kept when their host is the catalog's`(given: String, kept: String) throws {
        #expect(try AnswerHost.check(given, suffixes: suffixes, item: "instance_url") == kept)
    }

    @Test(arguments: [
        "https://evil.com", "http://na1.salesforce.com", "https://salesforce.com.evil.com",
        "https://evilsalesforce.com",
        "https://salesforce.com", "https://na1.salesforce.com@evil.com", "https://evil.com#.salesforce.com",
        "https://evil.com?.salesforce.com", "https://evil.com\\.salesforce.com", "https://na1.salesforce.com:8443",
        "https://na1.salesforce.com/../x", "https://na1.salesforce.com/?x=1", "https://na1.salesforce.com/#x",
        "https://na1.salesforce.com.", "https://na1.salesforce.com//evil.com", "//na1.salesforce.com", "", "https://",
        "https:///na1.salesforce.com", "https://127.0.0.1", "https://xn--e.salesforce.com", "javascript:alert(1)",
    ])
    func `are refused otherwise`(given: String) {
        #expect(throws: InvalidValue.self) { try AnswerHost.check(given, suffixes: suffixes, item: "instance_url") }
    }
}
