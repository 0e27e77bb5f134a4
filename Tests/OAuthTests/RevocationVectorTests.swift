import Catalog
import Credentials
import Egress
import Foundation
import OAuth
import Testing

/// What is sent to revoke a grant, by provider.
struct RevocationVector: Sendable, CustomTestStringConvertible {
    let provider: String
    let method: String
    let url: String
    /// The `Authorization` header, or the start of it.
    let authorization: String?
    let body: String
    var headers: [String: String] = [:]

    init(
        _ provider: String, _ method: String, _ url: String, _ authorization: String?, _ body: String,
        headers: [String: String] = [:]
    ) {
        self.provider = provider
        self.method = method
        self.url = url
        self.authorization = authorization
        self.body = body
        self.headers = headers
    }

    var testDescription: String { "\(provider): \(method) \(url)" }
}

@Suite struct `requests that revoke a grant` {
    static let basic = "Basic "
    static let bearer = "Bearer the-access"
    static let pair = "client_id=client-1&client_secret=s3cret"

    static let vectors: [RevocationVector] = [
        .init(
            "github", "DELETE", "https://api.github.com/applications/client-1/grant", basic,
            #"{"access_token":"the-access"}"#),
        .init("slack", "POST", "https://slack.com/api/auth.revoke", bearer, ""),
        .init(
            "intuit", "POST", "https://developer.api.intuit.com/v2/oauth2/tokens/revoke", basic,
            #"{"token":"the-refresh"}"#),
        .init(
            "stripe-connect", "POST", "https://connect.stripe.com/oauth/deauthorize", "Bearer s3cret",
            "stripe_user_id=acct_1&client_id=client-1"),
        .init(
            "calendly", "POST", "https://auth.calendly.com/oauth/revoke", nil, "token=the-refresh&" + pair),
        .init("google", "POST", "https://oauth2.googleapis.com/revoke", nil, "token=the-refresh"),
        .init(
            "notion", "POST", "https://api.notion.com/v1/oauth/revoke", basic, #"{"token":"the-access"}"#,
            headers: ["notion-version": "2022-06-28"]),
        .init("xero", "POST", "https://identity.xero.com/connect/revocation", basic, "token=the-refresh"),
        .init(
            "zoho", "POST", "https://accounts.zoho.com/oauth/v2/token/revoke?token=the-refresh", nil, ""),
        .init("dropbox", "POST", "https://api.dropboxapi.com/2/auth/token/revoke", bearer, ""),
        .init("asana", "POST", "https://app.asana.com/-/oauth_revoke", nil, "token=the-refresh&" + pair),
        .init("box", "POST", "https://api.box.com/oauth2/revoke", nil, "token=the-refresh&" + pair),
        .init("intercom", "POST", "https://api.intercom.io/auth/uninstall", bearer, ""),
        .init(
            "monday", "POST", "https://auth.monday.com/oauth_ms/oauth/revoke", nil,
            #"{"token":"the-refresh","token_type_hint":"refresh_token","client_id":"client-1","client_secret":"#),
        .init(
            "servicenow", "POST", "https://acme.service-now.com/oauth_revoke_token.do?token=the-refresh", nil, ""),
        .init(
            "netsuite", "POST", "https://acme.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/revoke", basic,
            "token=the-refresh"),
        .init(
            "reddit", "POST", "https://www.reddit.com/api/v1/revoke_token", basic, "token=the-refresh&token_type_hint"),
        .init(
            "shopify", "DELETE", "https://acme.myshopify.com/admin/api_permissions/current.json", nil, "",
            headers: ["x-shopify-access-token": "the-access"]),
        .init(
            "square", "POST", "https://connect.squareup.com/oauth2/revoke", "Client s3cret",
            #"{"access_token":"the-access","client_id":"client-1"}"#),
        .init(
            "facebook", "DELETE", "https://graph.facebook.com/me/permissions?access_token=the-access", nil, ""),
        .init(
            "mercado-libre", "DELETE", "https://api.mercadolibre.com/users/7/applications/client-1", bearer, ""),
        .init("smartsheet", "DELETE", "https://api.smartsheet.com/2.0/token", bearer, ""),
        .init("whoop", "DELETE", "https://api.prod.whoop.com/developer/v2/user/access", bearer, ""),
        .init(
            "oura", "GET", "https://api.ouraring.com/oauth/revoke?access_token=the-access", nil, ""),
        .init("digitalocean", "POST", "https://cloud.digitalocean.com/v1/oauth/revoke", bearer, "token=the-access"),
        .init(
            "discord", "POST", "https://discord.com/api/oauth2/token/revoke", basic,
            "token=the-refresh&token_type_hint=refresh_token"),
        .init("strava", "POST", "https://www.strava.com/oauth/deauthorize", nil, "access_token=the-access"),
        .init("twitch", "POST", "https://id.twitch.tv/oauth2/revoke", nil, "token=the-access&client_id=client-1"),
        .init("pipedrive", "POST", "https://oauth.pipedrive.com/oauth/revoke", basic, "token=the-refresh"),
        .init("linear", "POST", "https://api.linear.app/oauth/revoke", bearer, ""),
        .init("monzo", "POST", "https://api.monzo.com/oauth2/logout", bearer, ""),
        .init("procore", "POST", "https://login.procore.com/oauth/revoke", nil, "token=the-access&" + pair),
        .init("miro", "POST", "https://api.miro.com/v1/oauth/revoke", nil, "token=the-access&" + pair),
    ]

    private var tokens: TokenSet {
        var tokens = TokenSet(accessToken: Secret("the-access"), refreshToken: Secret("the-refresh"))
        tokens.facts = [
            "stripe_user_id": "acct_1", "instance": "acme", "account_id": "acme", "shop": "acme", "user_id": "7",
            "subdomain": "acme",
        ]
        return tokens
    }

    @Test(arguments: vectors)
    func `have each provider's shape`(vector: RevocationVector) async throws {
        let provider = try #require(try bundledCatalog().provider(vector.provider))
        let transport = ScriptedTransport(200, #"{"ok":true,"success":true,"status":"success","revoked":true}"#)
        _ = await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
        let sent = try #require(transport.requests.first)
        #expect(transport.requests.count == 1)
        #expect(sent.method == vector.method && sent.url == vector.url)
        #expect(sent.text.hasPrefix(vector.body))
        if vector.body.isEmpty { #expect(sent.text.isEmpty) }
        if let expected = vector.authorization {
            #expect(sent.header("authorization")?.hasPrefix(expected) == true)
        } else {
            #expect(sent.header("authorization") == nil)
        }
        for (name, value) in vector.headers { #expect(sent.header(name) == value) }
    }

    @Test func `ask Zendesk for the token's id first`() async throws {
        let transport = SequencedTransport([(200, #"{"token":{"id":1234}}"#, []), (204, "", [])])
        let provider = try #require(try bundledCatalog().provider("zendesk"))
        let outcome = await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
        #expect(outcome.success?.result == .revoked)
        #expect(
            transport.requests.map { "\($0.method) \($0.url)" } == [
                "GET https://acme.zendesk.com/api/v2/oauth/tokens/current.json",
                "DELETE https://acme.zendesk.com/api/v2/oauth/tokens/1234.json",
            ])
    }

    @Test func `send nothing when Zendesk no longer knows the token`() async throws {
        let transport = SequencedTransport([(401, #"{"error":"invalid_token"}"#, [])])
        let provider = try #require(try bundledCatalog().provider("zendesk"))
        let outcome = await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
        #expect(outcome.refusal?.verdict == .dead && transport.requests.count == 1)
    }

    @Test func `take Stripe's word that the account is connected no more`() async throws {
        let provider = try #require(try bundledCatalog().provider("stripe-connect"))
        let transport = ScriptedTransport(401, #"{"error":"invalid_client","error_description":"not connected"}"#)
        let outcome = await OAuthClient(transport: transport).revoke(tokens, provider: provider, app: app)
        #expect(outcome.success?.result == .alreadyGone)
    }
}
