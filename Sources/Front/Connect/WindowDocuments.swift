import Catalog
import Connect
import Credentials
import Foundation
import Store
import Vault

/// What the frame draws its list from.
struct WindowDocument: Encodable {
    struct Owner: Encodable {
        let type: String
        let value: String
    }

    /// Short names: there may be hundreds.
    struct Line: Encodable {
        let id: String
        let title: String
        let category: String
        let color: String
        let method: String
        /// Where the operator's own image is; nil: the window draws a tile.
        let logo: String?
    }

    let session: String
    let app: String
    let app_logo: String?
    let owner: Owner
    let expires_at: Date
    /// A renewal's account; nil for a new connection.
    let renews: String?
    let is_renewal: Bool
    let require_finish: Bool
    let name: String
    let title: String?
    let intro: String?
    let footer: String?
    let integrations: [Line]

    init(_ view: WindowView, logos: [String: [UInt8]]) {
        let environment = view.environment
        session = view.session.uid
        app = environment.displayName
        app_logo = logos[""].map { LogoRoutes.path(environment, "", $0) }
        owner = Owner(type: view.session.identity.type.rawValue, value: view.session.identity.value)
        expires_at = view.session.expiresAt
        is_renewal = view.session.connectionID != nil
        renews = is_renewal ? view.connection?.accountLabel : nil
        require_finish = view.session.requiresFinish
        name = view.session.name
        title = environment.branding.title
        intro = environment.branding.intro
        footer = environment.branding.footer
        integrations = view.offers.map { offer in
            Line(
                id: offer.integration.id, title: offer.title, category: offer.integration.category,
                color: offer.integration.color, method: offer.integration.providerID == nil ? "api_key" : "oauth2",
                logo: logos[offer.integration.id].map { LogoRoutes.path(environment, offer.integration.id, $0) })
        }
    }
}

/// One integration, as its screen needs it.
struct OfferDocument: Encodable {
    struct Field: Encodable {
        let name: String
        let label: String
        let placeholder: String
        let help: String
        /// `label`, `options`, `host`, `segment`, `text`, or `key` of an API-key form.
        let kind: String
        let secret: Bool
        let optional: Bool
        let value: String
        let options: [String]?
        let suffixes: [String]?
        let pattern: String?
    }

    let id: String
    let title: String
    let summary: String
    let guide: String
    let method: String
    let scopes: [String]
    let fields: [Field]

    init(_ offer: OfferedIntegration, view: WindowView) {
        let integration = offer.integration
        id = integration.id
        title = offer.title
        summary = integration.summary
        guide = offer.guide
        method = integration.providerID == nil ? "api_key" : "oauth2"
        scopes = integration.providerID == nil ? [] : offer.settings.scopes ?? integration.scopes
        let known = view.session.connectionID == nil ? [:] : view.connection?.parameters ?? [:]
        var fields = integration.userParameters.map { Field($0, known: known[$0.name]) }
        if case .apiKey(let form) = integration.method { fields += form.fields.map(Field.init) }
        self.fields = fields
    }
}

extension OfferDocument.Field {
    fileprivate init(_ parameter: URLParameter, known: String?) {
        var options: [String]?
        var suffixes: [String]?
        var pattern: String?
        switch parameter.kind {
        case .label: kind = "label"
        case .options(let values):
            kind = "options"
            options = values
        case .host(let allowed), .baseURL(let allowed):
            kind = "host"
            suffixes = allowed
        case .segment(let form):
            kind = "segment"
            pattern = form
        case .operatorHost, .text: kind = "text"
        }
        self.options = options
        self.suffixes = suffixes
        self.pattern = pattern
        name = parameter.name
        label = parameter.label
        placeholder = parameter.placeholder
        help = parameter.help
        secret = false
        optional = parameter.defaultValue != nil
        value = known ?? parameter.defaultValue ?? ""
    }

    fileprivate init(_ field: KeyField) {
        name = field.name
        label = field.label
        placeholder = field.placeholder
        help = field.help
        kind = "key"
        secret = field.isSecret
        optional = field.isOptional
        value = ""
        options = nil
        suffixes = nil
        pattern = field.pattern
    }
}

/// How far a session has come.
struct OutcomeDocument: Encodable {
    /// The connection as the page's own script is told: nothing of the credential, nothing of the app's metadata.
    struct Connection: Encodable {
        let id: String
        let key: String
        let integration: String
        let environment: String
        let identity: String
        let identity_type: String
        let name: String
        let tags: [String]
        let account: String?
        let state: String
        let since: Date
    }

    let state: String
    let departures: Int
    let failure: ConnectFailure?
    let connection: Connection?

    init(_ session: ConnectSessionRecord, _ connection: ConnectionRecord?) {
        state = session.state != .finished && session.isExpired ? "expired" : session.state.rawValue
        departures = session.departures
        failure = session.failure
        self.connection = connection.map {
            Connection(
                id: $0.publicID, key: $0.key.description, integration: $0.integration, environment: $0.mode.rawValue,
                identity: $0.identity.value, identity_type: $0.identity.type.rawValue, name: $0.name, tags: $0.tags,
                account: $0.accountLabel, state: $0.state.rawValue, since: $0.since)
        }
    }
}
