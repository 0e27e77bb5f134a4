import Credentials

/// The fields of an integration that is connected with a key instead of a consent.
package struct APIKeyForm: Sendable, Hashable {
    package let fields: [KeyField]
    /// The field that holds the credential itself.
    package let key: String
}

/// One field of the form.
package struct KeyField: Sendable, Hashable {
    package let name: String
    package let label: String
    /// Secret fields are never shown again.
    package let isSecret: Bool
    package let isOptional: Bool
    /// A regular expression that the whole value matches.
    package let pattern: String?
    package let placeholder: String
    package let help: String
}

/// Everything wrong with what was typed; `item` of each fault is the name of a field.
package struct FormError: Error, Sendable, Hashable, CustomStringConvertible {
    package let faults: [InvalidValue]

    package init(faults: [InvalidValue]) { self.faults = faults }

    package var description: String { faults.map(\.description).joined(separator: "\n") }
}

extension Integration {
    /// Checks the URL parameters that a user typed, by their types, and fills in defaults.
    /// - Returns: values for URL templates, to be kept in `TokenSet.facts`.
    /// - Throws: ``FormError`` with every fault; a name that is no parameter of the user's is one.
    package func values(typed: [String: String]) throws(FormError) -> [String: String] {
        try Self.check(typed, against: userParameters)
    }

    /// Checks what the operator pins in the OAuth app, as ``values(typed:)`` does for users.
    package func operatorValues(_ given: [String: String]) throws(FormError) -> [String: String] {
        try Self.check(given, against: operatorParameters)
    }

    /// Makes the token set of an API key from the form: the key is the access token, other secret fields are further
    /// tokens, the rest are facts. White space around values, which copying brings along, is dropped.
    /// - Throws: ``FormError`` with every fault; for an OAuth integration always.
    package func credential(form: [String: String]) throws(FormError) -> TokenSet {
        guard case .apiKey(let shape) = method else {
            throw FormError(faults: [
                InvalidValue(item: id, problem: "is connected by consent", repair: "open its authorization instead")
            ])
        }
        let trimmed = form.mapValues { String($0.trimmed) }
        let names = Set(shape.fields.map(\.name))
        var faults: [InvalidValue] = []
        var facts: [String: String] = [:]
        do { facts = try values(typed: trimmed.filter { !names.contains($0.key) }) } catch { faults = error.faults }
        var secrets: [String: Secret] = [:]
        for field in shape.fields {
            let value = trimmed[field.name] ?? ""
            if value.isEmpty {
                if !field.isOptional {
                    faults.append(InvalidValue(item: field.name, problem: "is missing", repair: "fill it in"))
                }
            } else if let problem = field.problem(with: value) {
                faults.append(InvalidValue(item: field.name, problem: problem, repair: "copy it again, whole"))
            } else if field.isSecret || field.name == shape.key {
                secrets[field.name] = Secret(value)
            } else {
                facts[field.name] = value
            }
        }
        guard faults.isEmpty, let key = secrets.removeValue(forKey: shape.key) else { throw FormError(faults: faults) }
        return TokenSet(accessToken: key, furtherTokens: secrets, facts: facts)
    }

    private static func check(_ given: [String: String], against parameters: [URLParameter]) throws(FormError)
        -> [String: String]
    {
        var faults: [InvalidValue] = []
        var values: [String: String] = [:]
        for name in given.keys.sorted() where !parameters.contains(where: { $0.name == name }) {
            let suggestion = Spelling.suggestion(for: name, among: parameters.map(\.name))
            faults.append(
                InvalidValue(
                    item: name, problem: "is not asked for here",
                    repair: suggestion.map { "did you mean \($0)?" } ?? "leave it out"))
        }
        for parameter in parameters {
            let typed = given[parameter.name].flatMap { $0.isEmpty ? nil : $0 }
            guard let value = typed ?? parameter.defaultValue else {
                faults.append(InvalidValue(item: parameter.name, problem: "is missing", repair: "fill it in"))
                continue
            }
            do { values[parameter.name] = try parameter.kind.check(value, item: parameter.name) } catch {
                faults.append(error)
            }
        }
        if !faults.isEmpty { throw FormError(faults: faults) }
        return values
    }
}

extension KeyField {
    fileprivate func problem(with value: String) -> String? {
        // Header values are visible ASCII (RFC 9110 §5.5); a key with anything else was copied wrong.
        if !value.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return "has characters that no key has" }
        if value.utf8.count > 4096 { return "is longer than 4096 characters" }
        if let pattern, !Pattern.matches(pattern, value) { return "does not look like \(label)" }
        return nil
    }
}

extension String {
    var trimmed: Substring {
        var rest = self[...]
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return rest
    }
}
