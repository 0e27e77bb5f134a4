import Catalog
import Credentials

extension FormError {
    /// The first fault, in words for the user, with the field it stands at.
    func connectError(_ offer: OfferedIntegration, session: String?) -> ConnectError {
        connectError(offer.integration, title: offer.title, session: session)
    }

    func connectError(_ integration: Integration, title: String, session: String?) -> ConnectError {
        ConnectError(
            .invalidField, integration: title, session: session, field: faults.first?.item,
            detail: faults.first.map { "\(integration.label(ofField: $0.item)) \($0.problem). Please \($0.repair)." },
            hint: faults.map(\.description).joined(separator: "; "))
    }
}

extension Integration {
    /// What the window calls a field.
    package func label(ofField name: String) -> String {
        if let parameter = parameters.first(where: { $0.name == name }) { return parameter.label }
        if case .apiKey(let form) = method, let field = form.fields.first(where: { $0.name == name }) {
            return field.label
        }
        return name
    }
}
