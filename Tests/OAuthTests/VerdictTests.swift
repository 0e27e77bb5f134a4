import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

/// One answer of a token endpoint and what it means. Sources: the provider's page in the catalog file.
struct AnswerVector: Sendable, CustomTestStringConvertible {
    let provider: String
    let status: Int
    let body: String
    /// A verdict's name, `success` or `ambiguous`.
    let meaning: String

    init(_ provider: String, _ status: Int, _ body: String, _ meaning: String) {
        self.provider = provider
        self.status = status
        self.body = body
        self.meaning = meaning
    }

    var testDescription: String { "\(provider) \(status) \(body.prefix(90)) → \(meaning)" }
}

private func error(_ code: String, _ text: String? = nil) -> String {
    #"{"error":"\#(code)"\#(text.map { #","error_description":"\#($0)""# } ?? "")}"#
}

@Suite struct `refusals at the token endpoint` {
    static let generic: [AnswerVector] = [
        .init("plain", 400, error("invalid_grant"), "dead"),
        .init("plain", 401, error("invalid_grant"), "dead"),
        .init("plain", 403, error("invalid_grant"), "dead"),
        .init("plain", 400, error("invalid_grant", "Token is not active"), "dead"),
        .init("plain", 401, error("invalid_client"), "app_fault"),
        .init("plain", 400, error("unauthorized_client"), "app_fault"),
        .init("plain", 400, error("interaction_required"), "needs_user"),
        .init("plain", 400, error("consent_required"), "needs_user"),
        .init("plain", 400, error("login_required"), "needs_user"),
        .init("plain", 400, error("temporarily_unavailable"), "provider_trouble"),
        .init("plain", 400, error("slow_down"), "provider_trouble"),
        .init("plain", 400, error("invalid_request"), "unknown"),
        .init("plain", 400, error("invalid_scope"), "unknown"),
        .init("plain", 400, "{}", "unknown"),
        .init("plain", 404, #"{"message":"no"}"#, "unknown"),
        .init("plain", 302, "", "unknown"),
        .init("plain", 400, "plain words", "unknown"),
        .init("plain", 200, error("invalid_grant"), "dead"),
        .init("plain", 200, #"{"error":"invalid_grant","access_token":"a"}"#, "dead"),
        .init("plain", 200, #"{"error":null,"access_token":"a"}"#, "success"),
        .init("plain", 200, #"{"error":"","access_token":"a"}"#, "success"),
        .init("plain", 201, #"{"access_token":"a"}"#, "success"),
        .init("plain", 200, #"{"access_token":""}"#, "ambiguous"),
        .init("plain", 200, "{}", "ambiguous"),
        .init("plain", 200, "", "ambiguous"),
        .init("plain", 200, "<html><body>maintenance</body></html>", "ambiguous"),
        .init("plain", 200, #"{"access_token":"a","refresh_to"#, "ambiguous"),
        .init("plain", 403, "<!doctype html><title>blocked</title>", "ambiguous"),
        .init("plain", 400, #"{"error":"invalid_gr"#, "ambiguous"),
        .init("plain", 500, error("invalid_grant"), "ambiguous"),
        .init("plain", 503, error("temporarily_unavailable"), "ambiguous"),
        .init("plain", 502, "<html>bad gateway</html>", "ambiguous"),
        .init("plain", 408, "", "ambiguous"),
        .init("plain", 429, "", "provider_trouble"),
        .init("plain", 429, "<html>slow down</html>", "provider_trouble"),
        .init("plain", 429, error("invalid_grant"), "provider_trouble"),
    ]

    static let dozen: [AnswerVector] = [
        .init("google", 400, error("invalid_grant", "Token has been expired or revoked."), "dead"),
        .init("google", 400, error("invalid_grant", "Bad Request"), "dead"),
        .init(
            "google", 400,
            #"{"error":"invalid_grant","error_description":"reauth related error (invalid_rapt)","error_subtype":"invalid_rapt"}"#,
            "needs_user"),
        .init("google", 400, error("admin_policy_enforced"), "needs_user"),
        .init("google", 403, error("org_internal"), "needs_user"),
        .init("google", 401, error("invalid_client", "The OAuth client was not found."), "app_fault"),
        .init("google", 401, error("deleted_client"), "app_fault"),
        .init("google", 500, error("internal_failure"), "ambiguous"),
        .init("slack", 200, #"{"ok":false,"error":"invalid_refresh_token"}"#, "dead"),
        .init("slack", 200, #"{"ok":false,"error":"token_revoked"}"#, "dead"),
        .init("slack", 200, #"{"ok":false,"error":"account_inactive"}"#, "dead"),
        .init("slack", 200, #"{"ok":false,"error":"invalid_auth"}"#, "dead"),
        .init("slack", 200, #"{"ok":false,"error":"internal_error"}"#, "provider_trouble"),
        .init("slack", 200, #"{"ok":false,"error":"fatal_error"}"#, "provider_trouble"),
        .init("slack", 200, #"{"ok":false,"error":"service_unavailable"}"#, "provider_trouble"),
        .init("slack", 200, #"{"ok":false,"error":"request_timeout"}"#, "provider_trouble"),
        .init("slack", 200, #"{"ok":false,"error":"team_added_to_org"}"#, "provider_trouble"),
        .init("slack", 429, #"{"ok":false,"error":"ratelimited"}"#, "provider_trouble"),
        .init("slack", 200, #"{"ok":false,"error":"missing_scope"}"#, "unknown"),
        .init("slack", 200, #"{"ok":false,"error":"not_allowed_token_type"}"#, "unknown"),
        .init("slack", 200, #"{"ok":false,"error":"bad_client_secret"}"#, "app_fault"),
        .init("slack", 200, #"{"ok":false,"error":"invalid_client_id"}"#, "app_fault"),
        .init("slack", 200, #"{"ok":false}"#, "unknown"),
        .init("slack", 200, #"{"ok":true,"access_token":"xoxe.xoxb-1"}"#, "success"),
        .init("salesforce", 400, error("invalid_grant", "expired access/refresh token"), "dead"),
        .init("salesforce", 400, error("invalid_grant", "inactive user"), "dead"),
        .init("salesforce", 400, error("invalid_grant", "inactive organization"), "dead"),
        .init("salesforce", 400, error("invalid_grant", "user hasn't approved this consumer"), "dead"),
        .init("salesforce", 400, error("invalid_grant", "ip restricted"), "needs_user"),
        .init(
            "salesforce", 400, error("invalid_grant", "Token request is already being processed"), "provider_trouble"),
        .init("salesforce", 400, error("unknown_error", "retry your request"), "provider_trouble"),
        .init("salesforce", 400, error("invalid_grant", "login rate exceeded"), "provider_trouble"),
        .init("salesforce", 400, error("invalid_client_id", "client identifier invalid"), "app_fault"),
        .init("salesforce", 400, error("invalid_client", "invalid client credentials"), "app_fault"),
        .init("intuit", 400, error("invalid_grant"), "dead"),
        .init("intuit", 400, error("invalid_grant", "Incorrect or invalid refresh token"), "dead"),
        .init("intuit", 401, error("invalid_client"), "app_fault"),
        .init(
            "hubspot", 400,
            #"{"error":"invalid_grant","status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#,
            "dead"),
        .init("hubspot", 400, #"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#, "dead"),
        .init("hubspot", 400, #"{"status":"BAD_CLIENT_ID","message":"missing or unknown client id"}"#, "app_fault"),
        .init("hubspot", 423, "", "provider_trouble"),
        .init("hubspot", 477, #"{"message":"migration in progress"}"#, "provider_trouble"),
        .init("hubspot", 504, "", "ambiguous"),
        .init(
            "microsoft", 400, #"{"error":"invalid_grant","error_description":"AADSTS50173: …","error_codes":[50173]}"#,
            "dead"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[700082]}"#, "dead"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[70008]}"#, "dead"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[700084]}"#, "dead"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[50057]}"#, "dead"),
        .init(
            "microsoft", 400, #"{"error":"invalid_grant","error_codes":[65001],"suberror":"consent_required"}"#,
            "needs_user"),
        .init("microsoft", 400, #"{"error":"interaction_required","error_codes":[50076]}"#, "needs_user"),
        .init("microsoft", 400, #"{"error":"interaction_required","error_codes":[50079]}"#, "needs_user"),
        .init("microsoft", 400, #"{"error":"interaction_required","error_codes":[53003]}"#, "needs_user"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[50196]}"#, "provider_trouble"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[90033]}"#, "provider_trouble"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[9002313]}"#, "unknown"),
        .init("microsoft", 400, #"{"error":"invalid_grant","error_codes":[1234567]}"#, "unknown"),
        .init("microsoft", 401, #"{"error":"invalid_client","error_codes":[7000222]}"#, "app_fault"),
        .init("microsoft", 401, #"{"error":"invalid_client","error_codes":[7000215]}"#, "app_fault"),
        .init("microsoft", 400, #"{"error":"unauthorized_client","error_codes":[700016]}"#, "app_fault"),
        .init("github", 200, error("bad_refresh_token", "The refresh token passed is incorrect or expired."), "dead"),
        .init("github", 200, "error=bad_refresh_token&error_description=The+refresh+token", "dead"),
        .init("github", 200, error("incorrect_client_credentials"), "app_fault"),
        .init("github", 200, error("redirect_uri_mismatch"), "app_fault"),
        .init("github", 200, error("bad_verification_code"), "unknown"),
        .init("github", 404, #"{"error":"Not Found"}"#, "unknown"),
        .init("notion", 400, error("invalid_grant"), "dead"),
        .init("notion", 401, error("invalid_client"), "app_fault"),
        .init("notion", 401, #"{"object":"error","status":401,"code":"unauthorized"}"#, "app_fault"),
        .init("notion", 429, #"{"code":"rate_limited"}"#, "provider_trouble"),
        .init("xero", 400, error("invalid_grant"), "dead"),
        .init("xero", 400, error("invalid_client"), "app_fault"),
        .init("xero", 400, error("unauthorized_client"), "app_fault"),
        .init("atlassian", 403, error("invalid_grant", "Unknown or invalid refresh token."), "dead"),
        .init("atlassian", 400, error("invalid_grant", "Token has been expired or revoked."), "dead"),
        .init("atlassian", 401, error("access_denied", "Unauthorized"), "app_fault"),
        .init("sandbox-strict", 400, error("invalid_grant"), "dead"),
        .init("sandbox-strict", 200, #"{"ok":false,"error":"internal_error"}"#, "provider_trouble"),
        .init("sandbox-strict", 200, #"{"ok":false,"error":"invalid_refresh_token"}"#, "dead"),
    ]

    @Test(arguments: generic + dozen)
    func `mean what the provider means by them`(vector: AnswerVector) async throws {
        let provider =
            vector.provider == "plain"
            ? try plainProvider() : try #require(try bundledCatalog().provider(vector.provider))
        let outcome = await refresh(provider, ScriptedTransport(vector.status, vector.body))
        let meaning =
            switch outcome {
            case .success: "success"
            case .ambiguous: "ambiguous"
            case .notSent: "not sent"
            case .refused(let refusal): refusal.verdict.name
            }
        #expect(meaning == vector.meaning)
    }

    @Test func `tell what the user must do`() async throws {
        let microsoft = try #require(try bundledCatalog().provider("microsoft"))
        func verdict(_ number: Int) async -> Verdict? {
            await refresh(microsoft, ScriptedTransport(400, #"{"error":"x","error_codes":[\#(number)]}"#)).refusal?
                .verdict
        }
        #expect(await verdict(50076) == .needsUser(.signIn))
        #expect(await verdict(53003) == .needsUser(.adminPolicy))
        #expect(await verdict(65001) == .needsUser(.consent))
    }

    @Test func `follow an operator's own lists, the certain before the doubtful`() async throws {
        let provider = try plainProvider(
            """
            verdicts:
              certain: [token_revoked]
              dead:
                - {status: 401, code: unauthorized_client, description: Old refresh token}
                - {status: 503, field: status, values: [503]}
              false_friends:
                - {code: access_denied, description: rate limit}
              generic_codes: false
            """)
        func verdict(_ status: Int, _ body: String) async -> Verdict? {
            await refresh(provider, ScriptedTransport(status, body)).refusal?.verdict
        }
        #expect(await verdict(400, error("token_revoked")) == .certainlyRevoked)
        #expect(await verdict(401, error("unauthorized_client", "Old refresh token used.")) == .dead)
        #expect(await verdict(401, error("unauthorized_client")) == .unknown)
        #expect(await verdict(400, error("access_denied", "Rate limit exceeded")) == .providerTrouble(retryAfter: nil))
        #expect(await verdict(400, error("invalid_grant")) == .unknown)
        // A status of the 5xx is definite only where a list names it.
        #expect(await verdict(503, #"{"status":503}"#) == .dead)
        #expect(await refresh(provider, ScriptedTransport(500, error("token_revoked"))).ambiguity != nil)
    }

    @Test(arguments: [
        ("2", Duration.seconds(2)), ("2.5", .milliseconds(2500)), ("0", .zero), ("-3", .zero), (" 7 ", .seconds(7)),
        ("Thu, 01 Jan 2026 00:01:00 GMT", .seconds(60)), ("Thursday, 01-Jan-26 00:01:00 GMT", .seconds(60)),
        ("Thu Jan  1 00:01:00 2026", .seconds(60)), ("Wed, 31 Dec 2025 23:00:00 GMT", .zero),
        ("99999999", .seconds(604_800)), ("soon", nil), ("", nil), ("nan", nil),
    ])
    func `carry Retry-After in seconds, fractions and dates`(value: String, expected: Duration?) {
        #expect(RetryAfter.parse(value, now: start) == expected)
    }

    @Test func `tell when to come back, from header, body or reset moment`() async throws {
        let provider = try plainProvider()
        func wait(_ status: Int, _ body: String, _ headers: [(name: String, value: String)]) async -> Duration? {
            switch await refresh(provider, ScriptedTransport(status, body, headers: headers)) {
            case .refused(let refusal):
                if case .providerTrouble(let wait) = refusal.verdict { wait } else { nil }
            case .ambiguous(let ambiguity): ambiguity.retryAfter
            default: nil
            }
        }
        #expect(await wait(429, "{}", [("Retry-After", "12")]) == .seconds(12))
        #expect(await wait(429, #"{"retry_after":0.5}"#, []) == .milliseconds(500))
        #expect(await wait(503, "", [("retry-after", "30")]) == .seconds(30))
        let reset = String(Int(Date().timeIntervalSince1970) + 100)
        let untilReset = try #require(await wait(429, "", [("X-Rate-Limit-Reset", reset)]))
        #expect(untilReset > .seconds(90) && untilReset <= .seconds(100))
        #expect(await wait(400, error("slow_down"), [("Retry-After", "5")]) == .seconds(5))
    }
}

@Suite struct `samples of refusals` {
    @Test(arguments: [
        ("invalid_grant", "invalid_grant"), ("BAD_REFRESH_TOKEN", "BAD_REFRESH_TOKEN"),
        ("InvalidAuthenticationToken", "InvalidAuthenticationToken"),
        ("incorrect_client_credentials", "incorrect_client_credentials"),
        ("expired access/refresh token", "expired access/refresh token"),
        ("AADSTS50173: expired", "AADSTS50173: expired"),
        ("token 1//0gAbCdEfGhIjKlMnOp is bad", "token <redacted> is bad"),
        ("Refresh token invalid: 5f1d9a0c3b7e4d21a6.", "Refresh token invalid: <redacted>"),
        ("for me@example.com.", "for <redacted>"), ("abcdefghijklmnopqrstuvwxyz", "<redacted>"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.abc", "<redacted>"), ("token=aB3dE6gH9jK2mN5p", "<redacted>"),
        ("xoxe-1-My0xLTEyMzQ1Njc4OTA", "<redacted>"), ("a\nb\u{7}c", "a bc"),
        ("\"Zk9QwErTyUiOpAsDf\"", "\"<redacted>\""),
        ("0123456789abcde", "0123456789abcde"), ("0123456789abcdef", "<redacted>"),
    ])
    func `hide what looks like a token or an address`(given: String, expected: String) {
        #expect(Redaction.redact(given) == expected)
    }

    @Test func `hide the very secrets that were sent, however short`() {
        #expect(
            Redaction.redact("Refresh token invalid: abc123", hiding: [Secret("abc123")])
                == "Refresh token invalid: <redacted>")
    }

    @Test func `are cut`() {
        #expect(Redaction.redact(String(repeating: "word ", count: 100)).count == 201)
    }

    @Test func `hold status, code, text and the provider's call id, and never the body`() async throws {
        let intuit = try #require(try bundledCatalog().provider("intuit"))
        let body = #"{"error":"invalid_grant","error_description":"old-refresh-token is no good","other":"kept out"}"#
        let transport = ScriptedTransport(400, body, headers: [("intuit_tid", "1-5f\r\nx")])
        let sample = try #require(await refresh(intuit, transport).refusal?.sample)
        #expect(
            sample
                == AnswerSample(status: 400, code: "invalid_grant", text: "<redacted> is no good", requestID: "1-5fx"))
        #expect(sample.description == "400 invalid_grant \"<redacted> is no good\" (request 1-5fx)")
    }

    @Test func `keep a refresh token that came with a refusal apart, but not the one presented`() async throws {
        let provider = try plainProvider()
        func found(_ token: String) async -> Secret? {
            let body = #"{"error":"access_denied","refresh_token":"\#(token)"}"#
            return await refresh(provider, ScriptedTransport(400, body)).refusal?.foundRefreshToken
        }
        #expect(await found("brand-new") == Secret("brand-new"))
        #expect(await found("old-refresh-token") == nil)
        let broken = await refresh(provider, ScriptedTransport(500, #"{"refresh_token":"brand-new"}"#))
        #expect(broken.ambiguity?.foundRefreshToken == Secret("brand-new"))
    }
}
