import Credentials
import Yams

/// Reads typed values: `parameters` (given by people) and `facts` (given by answers).
struct ValueReader {
    enum SourceWord: String, CaseIterable {
        case answer, callback, probe
        case idToken = "id_token"
    }

    private let fields: YAMLFields

    init(_ fields: YAMLFields) { self.fields = fields }

    func parameters(_ key: String) -> [URLParameter] {
        guard let inner = fields.fields(key) else { return [] }
        return inner.names().compactMap { name in
            guard let entry = inner.fields(name) else { return nil }
            defer { entry.finish() }
            guard let kind = kind(entry, allowed: ["label", "enum", "host", "operator_host", "segment"]) else {
                return nil
            }
            let value = entry.string("default")
            if let value {
                _ = entry.attempt("default") { () throws(InvalidValue) in try kind.check(value, item: name) }
            }
            return URLParameter(
                name: name, label: entry.string("label") ?? name, placeholder: entry.string("placeholder") ?? "",
                help: entry.string("help") ?? "", kind: kind, defaultValue: value)
        }
    }

    func facts(_ key: String, sources: [SourceWord]) -> [Fact] {
        guard let inner = fields.fields(key) else { return [] }
        return inner.names().compactMap { name in
            guard let entry = inner.fields(name) else { return nil }
            defer { entry.finish() }
            let kind = entry.has("type") ? kind(entry, allowed: ["base_url", "segment", "text"]) : .text
            let given = sources.filter { entry.has($0.rawValue) }
            guard given.count == 1, let word = given.first, let place = entry.string(word.rawValue) else {
                entry.list.add(
                    entry.path, entry.node,
                    "must have one of the keys \(sources.map(\.rawValue).joined(separator: ", ")), which says where it comes from"
                )
                return nil
            }
            let source: Fact.Source =
                switch word {
                case .answer: .answer(AnswerPath(place))
                case .callback: .callback(place)
                case .idToken: .idToken(place)
                case .probe: .probe(AnswerPath(place))
                }
            let isRequired = entry.bool("required") ?? false
            guard let kind else { return nil }
            return Fact(name: name, source: source, kind: kind, isRequired: isRequired)
        }
    }

    /// The names that templates may use. One name for two things is a fault.
    static func names(_ parameters: [URLParameter], _ facts: [Fact], at fields: YAMLFields)
        -> [String: URLTemplate.Name]
    {
        var known: [String: URLTemplate.Name] = [:]
        for parameter in parameters {
            known[parameter.name] = URLTemplate.Name(
                name: parameter.name, kind: parameter.kind, defaultValue: parameter.defaultValue)
        }
        for fact in facts {
            if known[fact.name] != nil {
                fields.fault("facts", "`\(fact.name)` is the name of a parameter or of another fact already")
            }
            known[fact.name] = URLTemplate.Name(name: fact.name, kind: fact.kind, defaultValue: nil)
        }
        return known
    }

    private func kind(_ entry: YAMLFields, allowed: [String]) -> ValueKind? {
        guard let word = entry.string(required: "type") else { return nil }
        guard allowed.contains(word) else {
            let hint = Spelling.suggestion(for: word, among: allowed).map { "; did you mean \($0)?" } ?? ""
            entry.fault("type", "must be one of \(allowed.joined(separator: ", ")), not \"\(word)\"\(hint)")
            return nil
        }
        switch word {
        case "label": return .label
        case "operator_host": return .operatorHost
        case "text": return .text
        case "enum":
            guard let values = entry.strings("values"), !values.isEmpty else {
                entry.fault("values", "lacks the list `values` of allowed values")
                return nil
            }
            return .options(values)
        case "segment":
            let pattern = entry.string("pattern")
            if let pattern, !Pattern.isValid(pattern) {
                entry.fault("pattern", "is not a regular expression")
                return nil
            }
            return .segment(pattern: pattern)
        default:
            guard let suffixes = suffixes(entry) else { return nil }
            return word == "host" ? .host(suffixes: suffixes) : .baseURL(suffixes: suffixes)
        }
    }

    private func suffixes(_ entry: YAMLFields) -> [String]? {
        guard let suffixes = entry.strings("suffixes"), !suffixes.isEmpty else {
            entry.fault("suffixes", "lacks the list `suffixes` of allowed hosts")
            return nil
        }
        for suffix in suffixes {
            let host = suffix.hasPrefix(".") ? String(suffix.dropFirst()) : suffix
            if let problem = HostName.problem(with: host) {
                entry.fault("suffixes", "\"\(suffix)\" \(problem)")
                return nil
            }
        }
        return suffixes
    }
}
