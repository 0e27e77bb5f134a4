import Credentials

/// One entry of `integrations`, still unread: its templates use names of a provider that another file may hold.
struct IntegrationDraft {
    let id: String
    let fields: YAMLFields
    let reach: Reach

    /// - Parameter providers: all providers, those with faults too.
    /// - Returns: nil when a fault was found; it is in the list.
    func read(providers: [String: ProviderEntry]) -> Integration? {
        let before = fields.list.faults.count
        let values = ValueReader(fields)
        let ownParameters = values.parameters("parameters")
        let ownFacts = values.facts("facts", sources: [.probe])
        let entry = provider(among: providers)
        let parameters = (entry?.parameters ?? []) + ownParameters
        let form = apiKeyForm()
        if (form == nil) == !fields.has("provider") {
            fields.list.add(fields.path, fields.node, "must have one of the keys provider, api_key")
        }
        var known = ValueReader.names(parameters, (entry?.facts ?? []) + ownFacts, at: fields)
        for field in form?.fields ?? [] where !field.isSecret && field.name != form?.key {
            known[field.name] = URLTemplate.Name(name: field.name, kind: .text, defaultValue: nil)
        }
        let title = fields.string(required: "title") ?? id
        let category = fields.string(required: "category") ?? ""
        let color = fields.string("color") ?? "#555555"
        if !Pattern.matches("#[0-9a-fA-F]{6}", color) { fields.fault("color", "must be a colour such as #1a73e8") }
        let summary = fields.string("summary") ?? ""
        let scopes = fields.strings("scopes") ?? []
        let scopeParameter = fields.string("scope_parameter")
        let extras = AuthorizeExtras.read("authorize", fields)
        let apiBase = fields.string("api_base").flatMap { text in
            fields.attempt("api_base") { () throws(InvalidValue) in
                try URLTemplate(text, known: known, reach: reach)
            }
        }
        let headers = headerTemplates(known)
        let probe = ProbeReader(fields, reach: reach).read("probe", known: known, apiBase: fields.string("api_base"))
        let placement = PlacementReader(fields).read("credential", form: form)
        let account = account()
        let passthrough = (fields.strings("passthrough_headers") ?? []).map { $0.lowercased() }
        let guide = fields.string("guide") ?? ""
        let setup = fields.string("setup") ?? ""
        let sources = fields.strings("sources") ?? []
        let grade: Grade = fields.choice("grade") ?? .unverified
        fields.finish()
        let method: Integration.Method? =
            form.map { .apiKey($0) } ?? entry.map { .oauth2(provider: $0.id) }
        guard fields.list.faults.count == before, let method, let placement else { return nil }
        return Integration(
            id: id, title: title, category: category, color: color, summary: summary, method: method,
            parameters: parameters, scopes: scopes, scopeParameter: scopeParameter, authorizeExtras: extras,
            apiBase: apiBase, headers: headers, probe: probe, placement: placement, facts: ownFacts, account: account,
            passthroughHeaders: passthrough, guide: guide, setup: setup, reach: reach, sources: sources, grade: grade)
    }

    private func provider(among providers: [String: ProviderEntry]) -> ProviderEntry? {
        guard let name = fields.string("provider") else { return nil }
        if let found = providers[name] { return found }
        let hint = Spelling.suggestion(for: name, among: providers.keys).map { "; did you mean \($0)?" } ?? ""
        fields.fault("provider", "names \"\(name)\", which no file defines\(hint)")
        return nil
    }

    private func headerTemplates(_ known: [String: URLTemplate.Name]) -> [String: HeaderTemplate] {
        var result: [String: HeaderTemplate] = [:]
        for (name, text) in fields.texts("headers") ?? [:] {
            result[name] = fields.attempt("headers") { () throws(InvalidValue) in
                try HeaderTemplate(text, known: known)
            }
        }
        return result
    }

    private func account() -> AccountShape {
        let inner = fields.fields("account")
        defer { inner?.finish() }
        func paths(_ key: String) -> [AnswerPath] {
            (inner?.strings(key) ?? []).map { text in
                if !text.hasPrefix("facts."), !text.hasPrefix("probe.") {
                    inner?.fault(key, "\"\(text)\" must begin with facts. or probe.")
                }
                return AnswerPath(text)
            }
        }
        return AccountShape(id: paths("id"), label: paths("label"))
    }

    private func apiKeyForm() -> APIKeyForm? {
        guard let inner = fields.fields("api_key") else { return nil }
        defer { inner.finish() }
        var found: [KeyField] = []
        let list = inner.fields("fields")
        for name in list?.names() ?? [] {
            guard let entry = list?.fields(name) else { continue }
            defer { entry.finish() }
            let pattern = entry.string("pattern")
            if let pattern, !Pattern.isValid(pattern) { entry.fault("pattern", "is not a regular expression") }
            found.append(
                KeyField(
                    name: name, label: entry.string("label") ?? name, isSecret: entry.bool("secret") ?? true,
                    isOptional: entry.bool("optional") ?? false, pattern: pattern,
                    placeholder: entry.string("placeholder") ?? "", help: entry.string("help") ?? ""))
        }
        let key = inner.string("key") ?? (found.count == 1 ? found[0].name : nil)
        guard let key, found.contains(where: { $0.name == key && !$0.isOptional }) else {
            inner.fault("key", "must name the field that holds the credential, and that field is not optional")
            return nil
        }
        return APIKeyForm(fields: found, key: key)
    }
}
