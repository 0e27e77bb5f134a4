import Yams

/// Reads `token_answer`; what is left out has the names of RFC 6749 §5.1 and §5.2.
struct AnswerShapeReader {
    private let fields: YAMLFields

    init(_ fields: YAMLFields) { self.fields = fields }

    func read(_ key: String, scopeSeparator: String) -> TokenAnswerShape {
        let inner = fields.fields(key)
        defer { inner?.finish() }
        func path(_ key: String, _ standard: String) -> AnswerPath { AnswerPath(inner?.string(key) ?? standard) }
        func paths(_ key: String, _ standard: [String]) -> [AnswerPath] {
            (inner?.strings(key) ?? standard).map { AnswerPath($0) }
        }
        let separator: String
        switch inner?.string("scope_separator") {
        case nil: separator = scopeSeparator
        case "space": separator = " "
        case "comma": separator = ","
        case let text?:
            inner?.fault("scope_separator", "must be one of space, comma, not \"\(text)\"")
            separator = scopeSeparator
        }
        return TokenAnswerShape(
            roots: paths("roots", ["."]), accessToken: path("access_token", "access_token"),
            refreshToken: path("refresh_token", "refresh_token"), tokenType: path("token_type", "token_type"),
            expiresIn: path("expires_in", "expires_in"),
            expiresAt: inner?.string("expires_at").map { AnswerPath($0) },
            refreshExpiresIn: paths("refresh_expires_in", ["refresh_token_expires_in", "refresh_expires_in"]),
            refreshExpiresAt: inner?.string("refresh_expires_at").map { AnswerPath($0) },
            readsExpiryOfJWT: inner?.bool("expiry_of_jwt") ?? false, scope: path("scope", "scope"),
            scopeSeparator: separator,
            furtherTokens: (inner?.texts("further_tokens") ?? [:]).mapValues { AnswerPath($0) },
            errorCode: paths("error_code", ["error"]),
            errorDescription: paths("error_description", ["error_description", "message"]),
            errorShapes: inner?.has("errors") == true
                ? inner?.elements("errors").compactMap { rule($0.node, $0.path) } ?? []
                : [FieldRule(path: AnswerPath("error"), test: .present)])
    }

    /// `{field: ok, equals: false}`, `{field: code, not: 0}`, or `{field: error}` for "is there".
    func rule(_ node: Node, _ path: String) -> FieldRule? {
        let inner = YAMLFields(node, path: path, list: fields.list)
        defer { inner.finish() }
        let equals = inner.strings("equals")
        let differs = inner.strings("not")
        guard let field = inner.string(required: "field") else { return nil }
        if let equals { return FieldRule(path: AnswerPath(field), test: .equals(equals)) }
        if let differs { return FieldRule(path: AnswerPath(field), test: .differs(differs)) }
        return FieldRule(path: AnswerPath(field), test: .present)
    }

    /// The rule under `key` of the fields themselves.
    func rule(_ key: String) -> FieldRule? { fields.value(key).flatMap { rule($0, fields.join(key)) } }
}
