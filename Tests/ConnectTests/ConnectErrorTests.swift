import Connect
import Credentials
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

@Suite struct ConnectErrorTests {
    @Test(arguments: ConnectError.Code.allCases)
    func `every code has words for the user and a hint for the developer`(code: ConnectError.Code) {
        for error in [ConnectError(code), ConnectError(code, integration: "Gmail")] {
            let words = error.words(app: "Acme")
            #expect(!words.heading.isEmpty && !words.heading.hasSuffix("."))
            #expect(words.text.hasSuffix("."))
            #expect(!words.text.contains("_"))
            #expect(!error.hint.isEmpty && !error.hint.hasSuffix("."))
        }
    }

    @Test(arguments: [
        ("https://app.example.com/x?y=1", "https://app.example.com"),
        ("https://App.Example.com:443/", "https://app.example.com"),
        ("https://app.example.com:8443/", "https://app.example.com:8443"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://127.0.0.1/", "http://127.0.0.1"), ("http://[::1]:8080/", "http://[::1]:8080"),
    ])
    func `an origin is scheme, host and port`(url: String, origin: String) throws {
        #expect(try WebOrigin(of: url, item: "url").description == origin)
    }

    @Test(arguments: [
        "", "app.example.com", "//app.example.com", "ftp://app.example.com", "http://app.example.com",
        "https://user@app.example.com", "https://user:pass@app.example.com", "https://", "https:///x",
        "javascript:alert(1)", "https://app.example.com\\@evil.com", "https://a b", "http://127.0.0.1.evil.com",
        "http://localhost.evil.com", "data:text/html,x",
    ])
    func `what no browser should be sent to has no origin`(url: String) {
        #expect(throws: InvalidValue.self) { try WebOrigin(of: url, item: "url") }
    }

    @Test(arguments: ["https://app.example.com/path", "https://app.example.com?x", "https://app.example.com#x"])
    func `an origin that stands alone has nothing after it`(url: String) {
        #expect(throws: InvalidValue.self) { try WebOrigin(parsing: url, item: "origin") }
    }
}
