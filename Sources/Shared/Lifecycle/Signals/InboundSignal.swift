import Catalog
import Credentials
import Foundation
import OAuth

/// What a provider says about grants, read from a body whose signature was checked. It names accounts, not tokens.
package struct InboundSignal: Sendable, Equatable {
    /// For metrics and the log, such as `tokens_revoked`.
    package var kind: String
    /// Accounts at the provider, as connections know them.
    package var accounts: [String] = []
    /// When the app was uninstalled: every grant made before is gone.
    package var uninstalledAt: Date?
    /// To be answered as text: Slack's proof of an address.
    package var challenge: String?

    /// One signal acts on at most so many accounts; providers send more in several.
    static let mostAccounts = 1000

    /// - Parameter header: looks a header up by its lower-case name.
    /// - Returns: nil when the body is no signal that is understood; it is then taken and ignored.
    package static func read(
        _ scheme: InboundScheme, header: (String) -> String?, body: [UInt8]
    ) -> InboundSignal? {
        guard let document = try? JSONDecoder().decode(JSONValue.self, from: Data(body)) else { return nil }
        func text(_ path: String) -> String? { document[AnswerPath(path)]?.plain }
        switch scheme {
        case .slack: return slack(document, text)
        case .github:
            // docs.github.com/webhooks/webhook-events-and-payloads
            switch (header("x-github-event"), text("action")) {
            case ("github_app_authorization"?, "revoked"?):
                return InboundSignal(kind: "authorization_revoked", accounts: [text("sender.id")].compactMap { $0 })
            case ("installation"?, "deleted"?):
                return InboundSignal(
                    kind: "installation_deleted", accounts: [text("installation.account.id")].compactMap { $0 })
            default: return nil
            }
        case .shopify:
            // shopify.dev/docs/api/webhooks: app/uninstalled carries the shop.
            guard header("x-shopify-topic") == "app/uninstalled" else { return nil }
            return InboundSignal(
                kind: "app_uninstalled", accounts: [text("id"), text("myshopify_domain")].compactMap { $0 },
                uninstalledAt: text("updated_at").flatMap(moment))
        case .pipedrive:
            return InboundSignal(
                kind: "app_uninstalled", accounts: [text("user_id")].compactMap { $0 },
                uninstalledAt: text("timestamp").flatMap(moment))
        }
    }

    /// docs.slack.dev/reference/events: `tokens_revoked` and `app_uninstalled`.
    private static func slack(_ document: JSONValue, _ text: (String) -> String?) -> InboundSignal? {
        if text("type") == "url_verification", let challenge = text("challenge"), challenge.utf8.count <= 512 {
            return InboundSignal(kind: "url_verification", challenge: challenge)
        }
        guard text("type") == "event_callback", let team = text("team_id") else { return nil }
        func users(_ path: String) -> [String] {
            guard case .list(let elements)? = document[AnswerPath(path)] else { return [] }
            return elements.prefix(mostAccounts).compactMap(\.plain)
        }
        switch text("event.type") {
        case "tokens_revoked":
            // A bot's connection knows the workspace, a user's the user.
            let bots = users("event.tokens.bot").isEmpty ? [] : [team]
            return InboundSignal(kind: "tokens_revoked", accounts: bots + users("event.tokens.oauth"))
        case "app_uninstalled":
            let at = document[AnswerPath("event_time")]?.seconds.map { Date(timeIntervalSince1970: $0) }
            return InboundSignal(kind: "app_uninstalled", accounts: [team], uninstalledAt: at)
        default: return nil
        }
    }

    private static func moment(_ text: String) -> Date? {
        (try? Date.ISO8601FormatStyle().parse(text))
            ?? (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
    }
}
