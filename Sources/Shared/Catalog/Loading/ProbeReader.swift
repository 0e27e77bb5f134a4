import Credentials

/// Reads `probe`.
struct ProbeReader {
    private let fields: YAMLFields
    private let reach: Reach

    init(_ fields: YAMLFields, reach: Reach) {
        self.fields = fields
        self.reach = reach
    }

    /// - Parameter apiBase: what `path` is appended to.
    func read(_ key: String, known: [String: URLTemplate.Name], apiBase: String?) -> Probe? {
        guard let inner = fields.fields(key) else { return nil }
        defer { inner.finish() }
        var text = inner.string("url")
        if let path = inner.string("path") {
            if text != nil { inner.fault("path", "stands beside `url`; give one of them") }
            if apiBase == nil { inner.fault("path", "needs an api_base; give `url` instead") }
            text = apiBase.map { $0 + path }
        }
        if text == nil, !inner.has("path"), !inner.has("url") {
            inner.list.add(inner.path, inner.node, "must have one of the keys url, path")
        }
        let place = inner.has("path") ? "path" : "url"
        let url = text.flatMap { text in
            inner.attempt(place) { () throws(InvalidValue) in try URLTemplate(text, known: known, reach: reach) }
        }
        let method = inner.string("method") ?? "GET"
        if !["GET", "HEAD", "POST"].contains(method) { inner.fault("method", "must be GET, HEAD or POST") }
        let codes = inner.strings("error_code") ?? ["error", "error.status", "error.code", "code", "0.errorCode"]
        let descriptions =
            inner.strings("error_description") ?? ["error_description", "error.message", "message", "0.message"]
        let headers = inner.texts("headers") ?? [:]
        let body = inner.string("body")
        let alive = inner.ints("success") ?? []
        let field = AnswerShapeReader(inner).rule("success_field")
        let scopes = scopes(inner)
        let every = inner.int("every_seconds")
        if let every, every < 60 { inner.fault("every_seconds", "must be at least 60") }
        let verdicts = VerdictReader(inner).read("verdicts")
        guard let url else { return nil }
        return Probe(
            method: method, url: url, headers: headers, body: body, aliveStatuses: alive, successField: field,
            errorCode: codes.map { AnswerPath($0) }, errorDescription: descriptions.map { AnswerPath($0) },
            scopes: scopes, every: every.map { .seconds($0) }, verdicts: verdicts)
    }

    /// `{header: x-oauth-scopes}` or `{field: scope}`, with `separator` (`comma`, else `space`).
    private func scopes(_ fields: YAMLFields) -> ProbeScopes? {
        guard let inner = fields.fields("scopes") else { return nil }
        defer { inner.finish() }
        let header = inner.string("header")?.lowercased()
        let field = inner.string("field")
        let separator: ScopeSeparator = inner.choice("separator") ?? .space
        if (header == nil) == (field == nil) { inner.fault("header", "or `field` must stand here, one of them") }
        let place = header.map { ProbeScopes.Place.header($0) } ?? field.map { .field(AnswerPath($0)) }
        return place.map { ProbeScopes(place: $0, separator: separator == .comma ? "," : " ") }
    }

    private enum ScopeSeparator: String, CaseIterable { case space, comma }
}

/// Reads `credential`: where a token goes. Nothing said: `Authorization: Bearer …` (RFC 6750 §2.1).
struct PlacementReader {
    private let fields: YAMLFields

    init(_ fields: YAMLFields) { self.fields = fields }

    func read(_ key: String, form: APIKeyForm?) -> CredentialPlacement? {
        guard let inner = fields.fields(key) else {
            return .header(name: "Authorization", prefix: "Bearer ", token: nil)
        }
        defer { inner.finish() }
        let given = ["header", "query", "basic"].filter { inner.has($0) }
        guard given.count == 1 else {
            inner.list.add(inner.path, inner.node, "must have one of the keys header, query, basic")
            return nil
        }
        let token = inner.string("token")
        if let name = inner.string("header") {
            if !Pattern.matches("[A-Za-z0-9-]+", name) { inner.fault("header", "is no header name") }
            return .header(name: name, prefix: inner.string("prefix") ?? "", token: token)
        }
        if let name = inner.string("query") { return .query(name: name, token: token) }
        guard let basic = inner.fields("basic") else { return nil }
        defer { basic.finish() }
        let key = form?.key ?? "access_token"
        func part(_ name: String) -> String {
            let text = basic.string(name) ?? ""
            let known = (form?.fields.map(\.name) ?? []) + ["access_token"]
            for used in CredentialPlacement.names(in: text) where !known.contains(used) {
                basic.fault(name, "names {\(used)}, which is no field of api_key")
            }
            return text.split(separator: "{\(key)}", omittingEmptySubsequences: false).joined(
                separator: "{access_token}")
        }
        return .basic(username: part("username"), password: part("password"))
    }
}
