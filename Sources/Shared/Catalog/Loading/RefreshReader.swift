import Credentials

/// Reads `refresh`; what is left out is as in RFC 6749 §6.
struct RefreshReader {
    private let fields: YAMLFields
    private let reach: Reach

    init(_ fields: YAMLFields, reach: Reach) {
        self.fields = fields
        self.reach = reach
    }

    func read(_ key: String, known: [String: URLTemplate.Name]) -> RefreshShape {
        let inner = fields.fields(key)
        defer { inner?.finish() }
        let grant = inner?.string("grant") ?? "refresh_token"
        return RefreshShape(
            grant: grant == "none" ? nil : grant, parameter: inner?.string("parameter") ?? "refresh_token",
            method: inner?.choice("method") ?? .post, format: inner?.choice("format"),
            authentication: inner?.choice("authentication"),
            notBefore: inner?.int("not_before_seconds").map { .seconds($0) },
            endsAccessToken: inner?.bool("ends_access_token") ?? false,
            alwaysSpends: inner?.bool("always_spends") ?? false, recovery: recovery(inner, known),
            migration: migration(inner, known))
    }

    private func recovery(_ fields: YAMLFields?, _ known: [String: URLTemplate.Name]) -> RecoveryFacts? {
        guard let inner = fields?.fields("recovery") else { return nil }
        defer { inner.finish() }
        let url = template(inner, known)
        let parameter = inner.string(required: "parameter")
        let header = inner.string("header")?.lowercased()
        guard let url, let parameter else { return nil }
        return RecoveryFacts(url: url, parameter: parameter, header: header)
    }

    private func migration(_ fields: YAMLFields?, _ known: [String: URLTemplate.Name]) -> MigrationFacts? {
        guard let inner = fields?.fields("migration") else { return nil }
        defer { inner.finish() }
        let url = template(inner, known)
        guard let url, let parameter = inner.string(required: "parameter") else { return nil }
        return MigrationFacts(url: url, parameter: parameter)
    }

    private func template(_ fields: YAMLFields, _ known: [String: URLTemplate.Name]) -> URLTemplate? {
        fields.string(required: "url").flatMap { text in
            fields.attempt("url") { () throws(InvalidValue) in try URLTemplate(text, known: known, reach: reach) }
        }
    }
}
