import Credentials

/// Reads `revocation`; defaults are those of RFC 7009: POST, a form with `token`, the client's own credentials.
struct RevocationReader {
    private let fields: YAMLFields
    private let reach: Reach

    init(_ fields: YAMLFields, reach: Reach) {
        self.fields = fields
        self.reach = reach
    }

    func read(_ key: String, known: [String: URLTemplate.Name]) -> RevocationFacts? {
        guard let inner = fields.fields(key) else { return nil }
        defer { inner.finish() }
        var known = known
        known["client_id"] = URLTemplate.Name(name: "client_id", kind: .segment(pattern: nil), defaultValue: nil)
        let lookup = lookup(inner, known)
        if lookup != nil {
            known["found"] = URLTemplate.Name(name: "found", kind: .segment(pattern: nil), defaultValue: nil)
        }
        let text = inner.string(required: "url")
        let url = text.flatMap { text in
            inner.attempt("url") { () throws(InvalidValue) in try URLTemplate(text, known: known, reach: reach) }
        }
        let method = inner.string("method") ?? "POST"
        if !["POST", "DELETE", "GET", "PUT", "PATCH"].contains(method) {
            inner.fault("method", "must be POST, DELETE, GET, PUT or PATCH")
        }
        let token: RevocationFacts.Token = inner.choice("token") ?? .refresh
        let format: RevocationFacts.Format = inner.choice("format") ?? .form
        let parameter = inner.string("token_parameter") ?? "token"
        let hint = inner.bool("hint") ?? false
        let authority: RevocationFacts.Authority = inner.choice("authority") ?? .client
        let headers = inner.texts("headers") ?? [:]
        let tokenHeader = inner.string("token_header")
        let secretScheme = inner.string("secret_scheme") ?? "Bearer"
        var parameters: [String: HeaderTemplate] = [:]
        for (name, text) in inner.texts("parameters") ?? [:] {
            parameters[name] = inner.attempt("parameters") { () throws(InvalidValue) in
                try HeaderTemplate(text, known: known)
            }
        }
        let statuses = inner.ints("success") ?? []
        let field = AnswerShapeReader(inner).rule("success_field")
        let gone = VerdictReader(inner).matchers("already_gone")
        let kills: RevocationReach = inner.choice("kills") ?? .grant
        guard let url else { return nil }
        return RevocationFacts(
            method: method, url: url, lookup: lookup, token: token, format: format, tokenParameter: parameter,
            sendsHint: hint,
            authority: authority, headers: headers, tokenHeader: tokenHeader, secretScheme: secretScheme,
            parameters: parameters, successStatuses: statuses, successField: field, alreadyGone: gone,
            kills: kills)
    }
    private func lookup(_ fields: YAMLFields, _ known: [String: URLTemplate.Name]) -> RevocationLookup? {
        guard let inner = fields.fields("lookup") else { return nil }
        defer { inner.finish() }
        let url = inner.string(required: "url").flatMap { text in
            inner.attempt("url") { () throws(InvalidValue) in try URLTemplate(text, known: known, reach: reach) }
        }
        guard let path = inner.string(required: "path"), let url else { return nil }
        return RevocationLookup(url: url, path: AnswerPath(path))
    }
}
