import Yams

/// Reads `verdicts`, and single lists of refusals. An entry is an error code, or a mapping of `status`, `code`,
/// `description`, `field` with `values`.
struct VerdictReader {
    private enum FriendWord: String, CaseIterable { case temporary, unknown }

    private let fields: YAMLFields

    init(_ fields: YAMLFields) { self.fields = fields }

    func read(_ key: String) -> VerdictTable {
        guard let inner = fields.fields(key) else { return .generic }
        defer { inner.finish() }
        let reader = VerdictReader(inner)
        return VerdictTable(
            certain: reader.matchers("certain"),
            falseFriends: reader.entries("false_friends") { entry, matcher in
                let word: FriendWord = entry?.choice("means") ?? .temporary
                return VerdictTable.FalseFriend(matcher: matcher, isTemporary: word == .temporary)
            },
            needsUser: reader.entries("needs_user") { entry, matcher in
                VerdictTable.NeedsUserMatcher(matcher: matcher, reason: entry?.choice("reason") ?? .consent)
            },
            appFault: reader.matchers("app_fault"), dead: reader.matchers("dead"),
            usesGenericCodes: inner.bool("generic_codes") ?? true)
    }

    func matchers(_ key: String) -> [AnswerMatcher] { entries(key) { _, matcher in matcher } }

    private func entries<Entry>(_ key: String, _ make: (YAMLFields?, AnswerMatcher) -> Entry) -> [Entry] {
        fields.elements(key).compactMap { node, path in
            if let code = node.scalar?.string { return make(nil, AnswerMatcher(code: code)) }
            let inner = YAMLFields(node, path: path, list: fields.list)
            defer { inner.finish() }
            let statuses = inner.ints("status") ?? []
            let code = inner.string("code")
            let description = inner.string("description")
            let field = inner.string("field")
            let values = inner.strings("values") ?? []
            let header = inner.string("header")?.lowercased()
            if field != nil, values.isEmpty { inner.fault("field", "stands together with `values`") }
            if field == nil, header == nil, !values.isEmpty { inner.fault("values", "stands with `field` or `header`") }
            if field != nil, header != nil { inner.fault("header", "stands beside `field`; give one of them") }
            if statuses.isEmpty, code == nil, description == nil, field == nil, header == nil {
                inner.list.add(
                    path, node, "matches everything; give status, code, description, header, or field and values")
                return nil
            }
            let matcher = AnswerMatcher(
                statuses: statuses, code: code, description: description, field: field.map { AnswerPath($0) },
                header: header, values: values)
            return make(inner, matcher)
        }
    }
}
