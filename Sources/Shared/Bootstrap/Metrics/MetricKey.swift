/// A series: a name, which begins with `evergrant_`, and its label pairs, in order of their names.
struct MetricKey: Hashable, Sendable {
    let name: String
    let labels: [Label]

    struct Label: Hashable, Sendable {
        let name: String
        let value: String
    }

    init(_ name: String, _ dimensions: [(String, String)]) {
        let name = Self.sanitized(name)
        self.name = name.hasPrefix("evergrant_") ? name : "evergrant_" + name
        labels = dimensions.map { Label(name: Self.sanitized($0.0), value: $0.1) }.sorted { $0.name < $1.name }
    }

    /// `evergrant.refresh.duration` becomes `evergrant_refresh_duration`: letters, digits, `_` and `:` stay
    /// (prometheus.io, "Metric names and labels").
    static func sanitized(_ text: String) -> String {
        let body = String(
            text.unicodeScalars.map { scalar -> Character in
                let isAllowed = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
                return isAllowed || scalar == "_" || scalar == ":" ? Character(scalar) : "_"
            })
        guard let first = body.first else { return "_" }
        return first.isNumber ? "_" + body : body
    }

    /// `{a="1",b="2"}`, with `further` at the end; empty without labels.
    func text(_ further: Label? = nil) -> String {
        let all = labels + (further.map { [$0] } ?? [])
        guard !all.isEmpty else { return "" }
        return "{" + all.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",") + "}"
    }

    private static func escaped(_ value: String) -> String {
        var text = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}
