import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Pacing
import Synchronization
import Testing

/// Answers each request in turn and keeps what was sent.
final class SequencedTransport: OAuthTransport {
    private let state: Mutex<(outcomes: [EgressOutcome], sent: [EgressRequest])>

    init(_ answers: [(Int, String, [(name: String, value: String)])]) {
        let outcomes = answers.map { status, body, headers in
            EgressOutcome.answered(
                EgressResponse(
                    status: status, headers: EgressHeaders(headers + [("Content-Type", "application/json")]),
                    body: Array(body.utf8)))
        }
        state = Mutex((outcomes, []))
    }

    func send(_ request: EgressRequest) async -> EgressOutcome {
        state.withLock { state in
            state.sent.append(request)
            return state.outcomes.isEmpty
                ? .notSent(EgressFailure(.connect, "nothing more was expected")) : state.outcomes.removeFirst()
        }
    }

    var requests: [EgressRequest] { state.withLock { $0.sent } }
}

@Suite struct `named quirks of refreshing` {
    private func provider(_ id: String) throws -> Provider { try #require(try bundledCatalog().provider(id)) }

    private func tokens(_ refresh: String? = "spent-refresh-token") -> TokenSet {
        TokenSet(accessToken: Secret("old-access-token"), refreshToken: refresh.map { Secret($0) })
    }

    @Test func `Clover's recovery takes the token just refused, when the refusal offers it`() async throws {
        let transport = SequencedTransport([
            (401, #"{"message":"refused"}"#, [("X-Clover-Recovery-Available", "true")]),
            (200, #"{"access_token":"a2","refresh_token":"r2","access_token_expiration":1767227400}"#, []),
        ])
        let outcome = await OAuthClient(transport: transport).refresh(
            tokens(), provider: try provider("clover"), app: app, startedAt: start)
        #expect(outcome.success?.tokens.refreshToken == Secret("r2"))
        #expect(
            transport.requests.map(\.url) == [
                "https://api.clover.com/oauth/v2/refresh", "https://api.clover.com/oauth/v2/recovery",
            ])
        // The first call has no secret and no grant type, the second has both halves of the client.
        #expect(transport.requests[0].text == #"{"refresh_token":"spent-refresh-token","client_id":"client-1"}"#)
        #expect(transport.requests[1].text.contains(#""recovery_token":"spent-refresh-token""#))
        #expect(transport.requests[1].text.contains(#""client_secret":"s3cret&:/ ü""#))
    }

    @Test func `Clover's refusal without an offer is a refusal, and nothing more is sent`() async throws {
        let transport = SequencedTransport([(401, #"{"message":"refused"}"#, [])])
        let outcome = await OAuthClient(transport: transport).refresh(
            tokens(), provider: try provider("clover"), app: app, startedAt: start)
        #expect(outcome.refusal?.verdict == .dead && transport.requests.count == 1)
    }

    @Test func `a refusal by the recovery call is the verdict, and its missing answer is ambiguous`() async throws {
        let offer = [(name: "X-Clover-Recovery-Available", value: "true")]
        let refused = SequencedTransport([(401, "{}", offer), (400, #"{"message":"no"}"#, [])])
        let first = await OAuthClient(transport: refused).refresh(
            tokens(), provider: try provider("clover"), app: app, startedAt: start)
        #expect(first.refusal?.verdict == .dead)
        let cut = SequencedTransport([(401, "{}", offer), (502, "<html>", [])])
        let second = await OAuthClient(transport: cut).refresh(
            tokens(), provider: try provider("clover"), app: app, startedAt: start)
        #expect(second.ambiguity != nil)
    }

    @Test func `both calls together keep to the time of one`() async throws {
        let transport = SequencedTransport([
            (401, "{}", [("X-Clover-Recovery-Available", "true")]), (200, #"{"access_token":"a2"}"#, []),
        ])
        let sendBy = BootInstant.now().advanced(by: .seconds(5))
        _ = await OAuthClient(transport: transport).refresh(
            tokens(), provider: try provider("clover"), app: app, startedAt: start, sendBy: sendBy,
            timeout: .seconds(20))
        let second = try #require(transport.requests.last)
        #expect(second.sendBy == sendBy.advanced(by: .seconds(20)))
        #expect(second.timeout <= .seconds(25))
    }

    @Test func `monday trades a token of the older kind for a pair`() async throws {
        let transport = SequencedTransport([
            (200, #"{"access_token":"a2","refresh_token":"r2","expires_in":3600}"#, [])
        ])
        let outcome = await OAuthClient(transport: transport).refresh(
            tokens(nil), provider: try provider("monday"), app: app, startedAt: start)
        #expect(outcome.success?.tokens.refreshToken == Secret("r2"))
        #expect(transport.requests.map(\.url) == ["https://auth.monday.com/oauth_ms/oauth/migrate"])
        #expect(transport.requests[0].text.contains(#""api_token":"old-access-token""#))
    }

    @Test func `a grant without a refresh token is sent nowhere else`() async throws {
        let transport = SequencedTransport([])
        let outcome = await OAuthClient(transport: transport).refresh(
            tokens(nil), provider: try provider("mailchimp"), app: app, startedAt: start)
        #expect(outcome.failure != nil && transport.requests.isEmpty)
    }

    @Test func `Meta's tokens are renewed by presenting themselves`() async throws {
        let transport = SequencedTransport([(200, #"{"access_token":"ig-2","expires_in":5183944}"#, [])])
        let outcome = await OAuthClient(transport: transport).refresh(
            tokens("ig-1"), provider: try provider("instagram"), app: app, startedAt: start)
        let sent = try #require(transport.requests.first)
        #expect(sent.method == "GET" && sent.text.isEmpty)
        #expect(
            sent.url.hasPrefix(
                "https://graph.instagram.com/refresh_access_token?grant_type=ig_refresh_token&access_token=ig-1"))
        #expect(!sent.url.contains("s3cret"))
        #expect(outcome.success?.tokens.refreshToken == Secret("ig-2"))
    }

    @Test func `Greenhouse is asked in the query, with an empty body`() async throws {
        let transport = SequencedTransport([(200, #"{"access_token":"a","refresh_token":"r"}"#, [])])
        _ = await OAuthClient(transport: transport).refresh(
            tokens("r1"), provider: try provider("greenhouse"), app: app, startedAt: start)
        let sent = try #require(transport.requests.first)
        #expect(sent.url == "https://auth.greenhouse.io/token?grant_type=refresh_token&refresh_token=r1")
        #expect(sent.method == "POST" && sent.text.isEmpty && sent.header("authorization") != nil)
    }

    @Test func `Procore's refusals that are no verdict leave it unknown whether the token lives`() async throws {
        let provider = try provider("procore")
        for (status, body) in [
            (429, ""), (400, #"{"error":"invalid_request"}"#), (401, #"{"error":"invalid_client"}"#),
        ] {
            let outcome = await refresh(provider, ScriptedTransport(status, body))
            #expect(outcome.ambiguity != nil, "\(status) \(body)")
        }
        let dead = await refresh(provider, ScriptedTransport(401, #"{"error":"invalid_grant"}"#))
        #expect(dead.refusal?.verdict == .dead)
    }

    @Test func `a refresh token in Exact Online's refusal is found`() async throws {
        let body =
            #"{"error":"access_denied","error_description":"Rate limit exceeded: access_token not expired","refresh_token":"the-new-one"}"#
        let outcome = await refresh(try provider("exact-online"), ScriptedTransport(400, body))
        #expect(outcome.refusal?.foundRefreshToken == Secret("the-new-one"))
        #expect(outcome.refusal?.sample.description.contains("the-new-one") == false)
        let same = #"{"error":"access_denied","refresh_token":"old-refresh-token"}"#
        let again = await refresh(try provider("exact-online"), ScriptedTransport(400, same))
        #expect(again.refusal?.foundRefreshToken == nil)
    }

    @Test(arguments: [
        ("exact-online", 570), ("trustpilot", 360_000), ("instagram", 86_400), ("threads", 86_400),
    ])
    func `some refuse a refresh that comes early`(id: String, seconds: Int) throws {
        #expect(try provider(id).refresh.notBefore == .seconds(seconds))
    }

    @Test(arguments: ["digitalocean", "gitlab", "monzo", "ringcentral", "sentry", "zendesk"])
    func `some end the access token in use`(id: String) throws {
        #expect(try provider(id).refresh.endsAccessToken)
    }

    @Test(arguments: ["shopify", "gusto", "ringcentral", "squarespace", "withings"])
    func `some keep the old refresh token until the new set is used`(id: String) throws {
        #expect(try provider(id).replay.replayClass == .untilUsed)
    }
}
