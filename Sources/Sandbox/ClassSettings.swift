/// How one provider class behaves. All of it can be changed while it runs: `PUT /control/settings`.
package struct ClassSettings: Sendable, Equatable, Codable {
    /// How `expires_in` is written in an answer.
    package enum ExpiresInForm: String, Sendable, Codable, CaseIterable {
        case number, text, absent
    }

    /// What a spent refresh token gets when it is presented again while it still answers.
    package enum Reissue: String, Sendable, Codable, CaseIterable {
        /// A new pair; the one issued before dies unused. The worst case, and the default.
        case newPairKillsSibling = "new_pair_kills_sibling"
        /// A new pair beside the one issued before; the first of them to be used kills the other.
        case newPair = "new_pair"
        /// The pair issued before.
        case samePair = "same_pair"
    }

    /// What a replay does besides being refused.
    package enum Harm: String, Sendable, Codable, CaseIterable {
        /// Nothing.
        case none
        /// Kills the grant: every refresh and access token of it.
        case family
        /// Kills the client in this class: `invalid_client` for all it asks.
        case app
    }

    /// What the consent page decides without asking.
    package enum Consent: String, Sendable, Codable, CaseIterable {
        case allow, deny
    }

    /// `access_lifetime` (seconds, 3600): life of an access token, told as `expires_in`.
    package var accessLifetime: Double = 3600
    /// `expires_in_form` (`number`): how it is told.
    package var expiresInForm: ExpiresInForm = .number
    /// `refresh_lifetime` (seconds, null = no end): life of a refresh token after its issue or last use; told as
    /// `refresh_token_expires_in`.
    package var refreshLifetime: Double?
    /// `grant_lifetime` (seconds, null = no end): life of a grant after consent; refreshing does not move it.
    package var grantLifetime: Double?
    /// `window_seconds` (600): in `windowed`, how long a spent refresh token answers again, from its first use.
    package var windowSeconds: Double = 600
    /// `cap_seconds` (null = none): in `until-used`, how long a spent refresh token lives at most.
    package var capSeconds: Double?
    /// `reissue` (`new_pair_kills_sibling`): what a spent token that still answers gets.
    package var reissue: Reissue = .newPairKillsSibling
    /// `harm` (by class): what a replay does besides being refused.
    package var harm: Harm = .none
    /// `refresh_kills_access` (false): a refresh ends the access tokens issued before, as at GitLab and Monzo.
    package var refreshKillsAccess = false
    /// `omits_refresh_token` (false): `replayable` leaves the refresh token out of refresh answers, as Google does.
    package var omitsRefreshToken = false
    /// `earliest_refresh` (seconds, null = any time): a refresh sooner after the last one is refused with 400
    /// `access_denied`, and spends nothing, as at Exact Online.
    package var earliestRefresh: Double?
    /// `one_grant_per_account` (false): a new grant ends the account's older ones of the client, as at Fitbit.
    package var oneGrantPerAccount = false
    /// `grant_limit` (requests, null = none) in `grant_limit_seconds` (600): token requests of one grant; more get 429
    /// with `Retry-After` and spend nothing, as at Zoho.
    package var grantLimit: Int?
    package var grantLimitSeconds: Double = 600
    /// `requires_pkce` (false): refuse authorization requests without `code_challenge`.
    package var requiresPKCE = false
    /// `auto_consent` (null = ask): decide without a page. `?auto=` in the request outranks it.
    package var autoConsent: Consent?
    /// `account` (`user@example.com`): the account proposed on the page, and taken where nobody is asked.
    package var account = "user@example.com"
    /// `granted_scope` (null = as asked): scopes granted whatever was asked, separated by spaces.
    package var grantedScope: String?

    package init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case accessLifetime = "access_lifetime"
        case expiresInForm = "expires_in_form"
        case refreshLifetime = "refresh_lifetime"
        case grantLifetime = "grant_lifetime"
        case windowSeconds = "window_seconds"
        case capSeconds = "cap_seconds"
        case reissue, harm, account
        case refreshKillsAccess = "refresh_kills_access"
        case omitsRefreshToken = "omits_refresh_token"
        case earliestRefresh = "earliest_refresh"
        case oneGrantPerAccount = "one_grant_per_account"
        case grantLimit = "grant_limit"
        case grantLimitSeconds = "grant_limit_seconds"
        case requiresPKCE = "requires_pkce"
        case autoConsent = "auto_consent"
        case grantedScope = "granted_scope"
    }

    /// The settings a class starts with.
    package static func standard(_ providerClass: ProviderClass) -> ClassSettings {
        var settings = ClassSettings()
        switch providerClass {
        case .strictFamily: settings.harm = .family
        case .strictApp: settings.harm = .app
        case .replayable, .untilUsed, .windowed, .strict, .key: break
        }
        return settings
    }
}
