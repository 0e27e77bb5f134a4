import Credentials
import Store
import Testing

@testable import Webhooks

@Suite struct WebhookEndpointRulesTests {
    private func fault(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return "\(error)" }
        return nil
    }

    @Test(arguments: ["https://example.com", "https://example.com:8443/a/b?c=d", "https://[2001:db8::1]/hook"])
    func `an absolute https URL is accepted`(_ url: String) {
        #expect(fault { try WebhookEndpointRules.check(url: url, allowsPlainHTTP: false) } == nil)
    }

    @Test(arguments: [
        ("http://example.com", "is plain http"), ("ftp://example.com", "has no scheme that can be used"),
        ("/hook", "has no scheme"), ("https:///hook", "names no host"), ("https://", "names no host"),
        ("https://user@example.com", "carries a user name or password"),
        ("https://user:pw@example.com/", "carries a user name or password"),
        ("https://169.254.169.254/latest", "is a link-local address, where clouds keep their credentials"),
        ("https://example.com/#part", "has a fragment"), ("https://exämple.com/", "is not a URL"),
        ("https://example.com/a b", "is not a URL"), ("https://example.com/\r\nx: y", "is not a URL"),
        ("https://example.com/" + String(repeating: "a", count: 2048), "has 2068 bytes"),
    ])
    func `any other URL is refused in words`(_ url: String, _ problem: String) {
        let error = fault { try WebhookEndpointRules.check(url: url, allowsPlainHTTP: false) }
        #expect(error?.hasPrefix("webhook URL \(problem)") == true, "\(error ?? "accepted")")
    }

    @Test func `plain http needs the operator's permission`() {
        #expect(fault { try WebhookEndpointRules.check(url: "http://10.0.0.7/hook", allowsPlainHTTP: true) } == nil)
    }

    @Test func `names are slugs and types are known`() {
        #expect(fault { try WebhookEndpointRules.check(name: "billing_2-eu") } == nil)
        for name in ["", "Billing", "a b", "ü", String(repeating: "a", count: 65)] {
            #expect(fault { try WebhookEndpointRules.check(name: name) } != nil)
        }
        #expect(fault { try WebhookEndpointRules.check(types: nil) } == nil)
        #expect(fault { try WebhookEndpointRules.check(types: ["*", "connection.broken"]) } == nil)
        #expect(fault { try WebhookEndpointRules.check(types: []) } != nil)
        let unknown = fault { try WebhookEndpointRules.check(types: ["connection.brokn"]) }
        #expect(unknown?.hasPrefix("webhook type connection.brokn does not exist; use * or some of") == true)
    }
}
