import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

/// `Vectors/answers.jsonl`: answers of token endpoints as providers send them, each with where it was seen and what it
/// means to that provider.
struct RecordedAnswer: Sendable, Decodable, CustomTestStringConvertible {
    struct Tokens: Sendable, Decodable {
        let access: String
        let refresh: String?
        /// Seconds after the start; 0: no end.
        let expires: Double?
    }

    let provider: String
    let kind: String
    let status: Int
    /// `EPOCH+n`: the moment n seconds from now.
    let headers: [String: String]?
    let body: String
    /// A verdict's name (`needs_user:` with its reason), `success` or `ambiguous`.
    let means: String
    /// Seconds.
    let retry_after: Double?
    /// The error code that may be kept.
    let code: String?
    let tokens: Tokens?
    let source: String

    var testDescription: String { "\(provider) \(kind) \(status) \(body.prefix(80)) → \(means)" }

    static let all: [RecordedAnswer] = {
        guard let url = Bundle.module.url(forResource: "Vectors/answers", withExtension: "jsonl"),
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return [] }
        return text.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(RecordedAnswer.self, from: Data($0.utf8))
        }
    }()

    func transport() -> ScriptedTransport {
        let fields = (headers ?? [:]).map { name, value -> (name: String, value: String) in
            guard value.hasPrefix("EPOCH+"), let seconds = Double(value.dropFirst(6)) else { return (name, value) }
            return (name, String(Int(Date().timeIntervalSince1970 + seconds)))
        }
        return ScriptedTransport(status, body, headers: fields)
    }
}

@Suite struct `recorded answers of token endpoints` {
    /// What the URL templates of some providers need.
    static let facts = [
        "subdomain": "acme", "shop": "acme", "account_id": "acme", "instance": "acme", "realm": "main",
        "host": "acme.snowflakecomputing.com",
    ]

    @Test func `are read whole`() throws {
        let url = try #require(Bundle.module.url(forResource: "Vectors/answers", withExtension: "jsonl"))
        let lines = try String(contentsOf: url, encoding: .utf8).split(separator: "\n").count
        #expect(RecordedAnswer.all.count == lines && lines > 300)
        #expect(Set(RecordedAnswer.all.map(\.provider)).count >= 80)
    }

    @Test(arguments: RecordedAnswer.all)
    func `mean what the provider means by them`(answer: RecordedAnswer) async throws {
        let provider = try #require(try bundledCatalog().provider(answer.provider))
        var tokens = TokenSet(accessToken: Secret("old-access-token"), refreshToken: Secret("old-refresh-token"))
        tokens.facts = Self.facts
        if answer.provider == "exact-online" { tokens.facts["host"] = "start.exactonline.nl" }
        var client = app
        client.parameters = [
            "domain": "acme.example.com", "hostname": "looker.example.com", "api_host": "looker.example.com:19999",
        ]
        if provider.id == "keycloak" || provider.id == "gitlab" { client.parameters["host"] = "login.example.com" }
        if provider.id != "looker" { client.parameters["api_host"] = nil }
        if provider.id == "salesforce" { client.parameters["domain"] = nil }
        let transport = answer.transport()
        let outcome: ProviderOutcome<IssuedTokens>
        if answer.kind == "exchange" {
            outcome = try await exchange(provider, transport, facts: tokens.facts, app: client)
        } else {
            outcome = await refresh(provider, transport, tokens: tokens, app: client)
        }
        #expect(Self.meaning(of: outcome) == answer.means)
        if let wait = answer.retry_after {
            let found = try #require(Self.wait(of: outcome))
            // A reset moment has whole seconds, and time passes while it is read.
            #expect(
                abs(found - wait) <= (answer.headers?.values.contains { $0.hasPrefix("EPOCH") } == true ? 2 : 0.001))
        }
        if let code = answer.code { #expect(outcome.refusal?.sample.code == code) }
        if let expected = answer.tokens {
            let issued = try #require(outcome.success)
            #expect(issued.tokens.accessToken == Secret(expected.access))
            #expect(issued.tokens.refreshToken == expected.refresh.map { Secret($0) })
            if let expires = expected.expires {
                let end = issued.tokens.expiresAt.map { $0.timeIntervalSince(start) }
                #expect(expires == 0 ? end == nil : abs((end ?? 0) - expires) < 0.01)
            }
        }
        // Whatever was refused: no sample quotes what was presented.
        let sample = outcome.refusal?.sample ?? outcome.ambiguity?.sample
        #expect(sample?.description.contains("old-refresh-token") != true)
    }

    static func meaning(of outcome: ProviderOutcome<IssuedTokens>) -> String {
        switch outcome {
        case .success: return "success"
        case .ambiguous: return "ambiguous"
        case .notSent(let failure): return "not sent: \(failure)"
        case .refused(let refusal):
            if case .needsUser(let reason) = refusal.verdict { return "needs_user:\(reason.rawValue)" }
            return refusal.verdict.name
        }
    }

    static func wait(of outcome: ProviderOutcome<IssuedTokens>) -> Double? {
        var found = outcome.ambiguity?.retryAfter
        if case .providerTrouble(let wait)? = outcome.refusal?.verdict { found = wait }
        return found.map { Double($0.components.seconds) + Double($0.components.attoseconds) / 1e18 }
    }
}
