import Catalog
import Connect
import Credentials
import Store

/// What the templates are filled with.
struct PageValues {
    let view: WindowView
    /// The app's page that the session came from, where there is one.
    var back: Secret?

    var app: String { view.environment.displayName }

    /// "the team ", before the owner's name; empty for a user.
    private var ownerKind: String {
        view.session.identity.type == .user ? "" : "the \(view.session.identity.type.rawValue) "
    }

    private var base: [String: Any] {
        var base: [String: Any] = [
            "app": app, "owner": view.session.identity.value, "owner_kind": ownerKind, "session": view.session.uid,
            "monogram": String(app.prefix(1)).uppercased(), "brand": BrandSheet.path(view.environment),
        ]
        if let back { base["back"] = back.revealedText() }
        return base
    }

    func list(search: String) -> [String: Any] {
        let wanted = search.lowercased()
        let offers = view.offers.filter {
            wanted.isEmpty || "\($0.title) \($0.integration.category)".lowercased().contains(wanted)
        }
        return base.merging([
            "title": "Connect an account", "search": search, "nothing": offers.isEmpty,
            "offers": offers.map { offer -> [String: Any] in
                [
                    "id": offer.integration.id, "title": offer.title, "category": Self.category(offer.integration),
                ]
            },
        ]) { $1 }
    }

    /// - Parameters:
    ///   - typed: what the user filled in before; secrets are not shown again.
    ///   - fault: why the form came back.
    func integration(
        _ offer: OfferedIntegration, typed: [String: String], fault: ConnectError?
    ) -> [String: Any] {
        let integration = offer.integration
        let scopes = offer.settings.scopes ?? integration.scopes
        var values = base.merging([
            "title": offer.title, "integration": integration.id, "guide": offer.guide,
            "oauth": integration.providerID != nil, "renew": view.session.connectionID != nil,
            "others": view.offers.count > 1, "fields": fields(integration, typed: typed, invalid: fault?.field),
            "has_scopes": integration.providerID != nil && !scopes.isEmpty, "scopes": scopes,
        ]) { $1 }
        if view.session.connectionID != nil, let account = view.connection?.accountLabel { values["account"] = account }
        if let fault {
            let words = fault.words(app: app)
            values["fault"] = ["heading": words.heading, "text": words.text]
        }
        return values
    }

    func success() -> [String: Any] {
        let connection = view.connection
        let title = connection.flatMap { made in view.offers.first { $0.integration.id == made.integration }?.title }
        var values = base.merging([
            "title": "Connected", "title_line": title.map { "\($0) is connected" } ?? "Your account is connected",
        ]) { $1 }
        if view.session.kind == .embedded { values["code"] = "success" }
        if let label = connection?.accountLabel { values["account"] = label }
        return values
    }

    private func fields(_ integration: Integration, typed: [String: String], invalid: String?) -> [[String: Any]] {
        // A renewal starts with what is known of the connection.
        let known = view.session.connectionID == nil ? [:] : view.connection?.parameters ?? [:]
        var fields = integration.userParameters.map { parameter -> [String: Any] in
            let value = typed[parameter.name] ?? known[parameter.name] ?? parameter.defaultValue ?? ""
            var field: [String: Any] = [
                "name": parameter.name, "label": parameter.label, "placeholder": parameter.placeholder, "type": "text",
                "value": value, "help": parameter.help, "optional": false, "invalid": parameter.name == invalid,
                "choices": false,
            ]
            if case .options(let options) = parameter.kind {
                field["choices"] = ["options": options.map { ["value": $0, "selected": $0 == value] as [String: Any] }]
            }
            return field
        }
        if case .apiKey(let form) = integration.method {
            fields += form.fields.map { field -> [String: Any] in
                [
                    "name": field.name, "label": field.label, "placeholder": field.placeholder,
                    "type": field.isSecret ? "password" : "text",
                    "value": field.isSecret ? "" : typed[field.name] ?? "",
                    "help": field.help, "optional": field.isOptional, "invalid": field.name == invalid,
                    "choices": false,
                ]
            }
        }
        // Inside a list a missing value would be looked up in the page around it.
        return fields
    }

    private static func category(_ integration: Integration) -> String {
        integration.category.prefix(1).uppercased() + integration.category.dropFirst()
    }

    /// A page for what went wrong.
    static func error(
        _ error: ConnectError, app: String, reference: String, hasChoice: Bool, integration: String?,
        back: Secret? = nil, brand: String? = nil
    )
        -> [String: Any]
    {
        let words = error.words(app: app)
        var values: [String: Any] = [
            "title": words.heading, "heading": words.heading, "text": words.text,
            "reference": "\(error.code.rawValue) · \(reference)", "code": error.code.rawValue,
        ]
        if let brand { values["brand"] = brand }
        if let back { values["home"] = ["back": back.revealedText(), "app": app] }
        if error.code.isRetryable, let session = error.session {
            var actions: [String: Any] = [:]
            let path = "/connect/s/\(session)"
            switch error.code {
            case .notEnabled, .unknownIntegration: actions["others"] = path
            default:
                actions["again"] = integration.map { "\(path)/\($0)" } ?? path
                if hasChoice { actions["others"] = path }
            }
            values["actions"] = actions
        }
        return values
    }
}
