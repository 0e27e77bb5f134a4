import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// The operator's side of integrations.
@Suite struct IntegrationSetupTests {
    @Test func `a client secret goes in and never comes out`() async throws {
        try await FrontWorld.with { world in
            let put = try await world.call(
                "PUT", "/v1/integrations/gmail", #"{"client_id":"id-1","client_secret":"very-secret-1"}"#)
            #expect(put.status == 200, "\(put.text)")
            for answer in [
                put, try await world.call("GET", "/v1/integrations/gmail"),
                try await world.call("GET", "/v1/integrations?enabled=true"),
            ] {
                #expect(!answer.text.contains("very-secret-1"))
            }
            let shown = try await world.call("GET", "/v1/integrations/gmail")
            let app = try #require(shown.json["oauth_app"] as? [String: Any])
            #expect(app["client_id"] as? String == "id-1")
            #expect(app["has_client_secret"] as? Bool == true)
            #expect(try shown.string("redirect_uri") == "\(world.base)/oauth/callback/gmail")
            let row = try await world.pool.execute(.init("secret", "select client_secret from evergrant.oauth_apps"))
                .first
            let sealed: [UInt8] = try #require(row).decode([UInt8].self)
            #expect(!String(decoding: sealed, as: UTF8.self).contains("very-secret-1"))
        }
    }

    @Test func `integrations of one provider share an app by its client id, and a new secret reaches both`()
        async throws
    {
        try await FrontWorld.with { world in
            let body = #"{"client_id":"shared","client_secret":"s1"}"#
            let one = try await world.call("PUT", "/v1/integrations/gmail", body)
            let two = try await world.call("PUT", "/v1/integrations/google-calendar", body)
            func app(_ answer: Answer) -> String? { (answer.json["oauth_app"] as? [String: Any])?["id"] as? String }
            #expect(app(one) != nil && app(one) == app(two), "\(two.text)")
            let other = try await world.call(
                "PUT", "/v1/integrations/gmail", #"{"client_id":"own","client_secret":"s2"}"#)
            #expect(app(other) != app(two))
        }
    }

    @Test func `the catalog can be searched, and a misspelt id is answered with the right one`() async throws {
        try await FrontWorld.with { world in
            let found = try await world.call("GET", "/v1/integrations?search=sla")
            #expect(found.rows.contains { $0["id"] as? String == "slack" })
            let missing = try await world.call("GET", "/v1/integrations/salck")
            #expect(missing.status == 404)
            #expect(missing.code == "unknown_integration")
            #expect(missing.text.contains("slack"), "\(missing.text)")
        }
    }

    @Test func `a session for an integration without its app says that setup is required`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.call("PUT", "/v1/integrations/slack", #"{"enabled":true}"#)
            let answer = try await world.call(
                "POST", "/v1/sessions", #"{"identity":"u","integrations":["slack"],"require_finish":false}"#)
            #expect(answer.code == "setup_required", "\(answer.text)")
        }
    }

    @Test func `hosts that a user types cannot lead anywhere else`() async throws {
        try await FrontWorld.with { world in
            let put = try await world.call(
                "PUT", "/v1/integrations/salesforce", #"{"client_id":"c","client_secret":"s"}"#)
            #expect(put.status == 200, "\(put.text)")
            let shown = try await world.call("GET", "/v1/integrations/salesforce")
            let fields = try #require(shown.json["fields"] as? [[String: Any]])
            let name = try #require(fields.first?["name"] as? String, "\(shown.text)")
            let session = try await world.session("salesforce")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let path = "/connect/s/\(session.id)/salesforce"
            for typed in [
                "evil.com", "evil.com/#", "evil.com/", "a.b", "evil.com#.my.salesforce.com", "x@evil.com",
                "xn--80ak6aa92e.com",
                "evil.com:443", "evil.com\\", "..", "a b", "evil.com%2f", "127.0.0.1", "[::1]", "é",
                "acme.my.salesforce.com.evil.com", "acme.my.salesforce.com@evil.com", "https://evil.com",
            ] {
                let page = try await browser.post(path, form: [name: typed])
                #expect(page.status == 400, "\(typed): \(page.status)")
                #expect(!page.text.contains("http-equiv=\"refresh\""), "\(typed)")
            }
        }
    }

    @Test func `bad settings are refused by field`() async throws {
        try await FrontWorld.with { world in
            for body in [
                #"{"client_secret":"x"}"#, #"{"client_id":"","client_secret":"x"}"#,
                #"{"client_id":"a","scopes":["a b"]}"#,
                #"{"client_id":"a","scopes":[""]}"#, #"{"client_id":"a","client_secret":""}"#,
                #"{"client_id":"a","parameters":{"nonsense":"x"}}"#, #"{"clientid":"a"}"#,
            ] {
                let answer = try await world.call("PUT", "/v1/integrations/gmail", body)
                #expect(answer.status == 400, "\(body): \(answer.text)")
            }
            #expect(try await world.call("PUT", "/v1/integrations/exa", #"{"client_id":"a"}"#).status == 400)
        }
    }
}
