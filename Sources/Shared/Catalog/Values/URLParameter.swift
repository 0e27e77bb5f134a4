/// A value that a user types in the connect window (or, for `operator_host`, the operator pins in the OAuth app) and
/// that goes into URLs: Salesforce's domain, a Zendesk subdomain.
package struct URLParameter: Sendable, Hashable {
    package let name: String
    /// What the form calls it.
    package let label: String
    package let placeholder: String
    package let help: String
    package let kind: ValueKind
    /// Used when nothing is given; nil means that a value must be given.
    package let defaultValue: String?

    package init(
        name: String, label: String, placeholder: String = "", help: String = "", kind: ValueKind,
        defaultValue: String? = nil
    ) {
        self.name = name
        self.label = label
        self.placeholder = placeholder
        self.help = help
        self.kind = kind
        self.defaultValue = defaultValue
    }

    /// Whether the operator gives it, and users never see it.
    package var isOperators: Bool { kind == .operatorHost }
}
