import Credentials
import Yams

/// What was read of one provider: its names even when it has faults, so that its integrations can still be checked.
struct ProviderEntry {
    let id: String
    var provider: Provider?
    let parameters: [URLParameter]
    let facts: [Fact]
}

/// Reads one entry of `providers`. Keys, types and defaults: `docs/catalog.md`.
struct ProviderReader {
    private let fields: YAMLFields
    private let reach: Reach

    init(_ fields: YAMLFields, reach: Reach) {
        self.fields = fields
        self.reach = reach
    }

    /// Its provider is nil when a fault was found; the fault is in the list.
    func read(id: String) -> ProviderEntry {
        let before = fields.list.faults.count
        let values = ValueReader(fields)
        let parameters = values.parameters("parameters")
        let facts = values.facts("facts", sources: [.answer, .callback, .idToken])
        let known = ValueReader.names(parameters, facts, at: fields)
        let sources = fields.strings("sources") ?? []
        let separator = scopeSeparator("scope_separator") ?? " "
        let client = fields.fields("client")
        let authentication: ClientAuthentication = client?.choice("authentication") ?? .basic
        let clientID = client?.string("id_parameter") ?? "client_id"
        let clientSecret = client?.string("secret_parameter") ?? "client_secret"
        client?.finish()
        let name = fields.string("name") ?? id
        let authorizationURL = template(required: "authorization_url", known)
        let tokenURL = template(required: "token_url", known)
        let refreshURL = fields.has("refresh_url") ? template(required: "refresh_url", known) : nil
        let issuer = issuer(known)
        let pkce: PKCEMethod = fields.choice("pkce") ?? .s256
        if pkce == .none, sources.isEmpty {
            fields.fault("pkce", "may be none only where `sources` names what shows that the provider refuses PKCE")
        }
        let scopeParameter = fields.string("scope_parameter") ?? "scope"
        let extras = AuthorizeExtras.read("authorize", fields)
        let request = tokenRequest()
        let refresh = RefreshReader(fields, reach: reach).read("refresh", known: known)
        let answer = AnswerShapeReader(fields).read("token_answer", scopeSeparator: separator)
        let replay = replay()
        // Harm `app`: whatever is wrong with a refresh counts against the operator's integration.
        let canary: CanaryKind = fields.choice("canary") ?? (replay.harm == .app ? .bare : .grant)
        let verdicts = VerdictReader(fields).read("verdicts")
        let lifetimes = lifetimes()
        let limits = limits("limits")
        let revocation = RevocationReader(fields, reach: reach).read("revocation", known: known)
        let inbound: InboundScheme? = fields.choice("inbound")
        let grants = GrantRules(reading: fields)
        let grade: Grade = fields.choice("grade") ?? .unverified
        fields.finish()
        var entry = ProviderEntry(id: id, provider: nil, parameters: parameters, facts: facts)
        guard fields.list.faults.count == before, let authorizationURL, let tokenURL else { return entry }
        entry.provider = Provider(
            id: id, name: name, parameters: parameters, authorizationURL: authorizationURL, tokenURL: tokenURL,
            refreshURL: refreshURL, issuer: issuer, pkce: pkce, clientAuthentication: authentication,
            clientIDParameter: clientID, clientSecretParameter: clientSecret, scopeSeparator: separator,
            scopeParameter: scopeParameter, authorizeExtras: extras, request: request, refresh: refresh, answer: answer,
            facts: facts, replay: replay, canary: canary, verdicts: verdicts, lifetimes: lifetimes, limits: limits,
            revocation: revocation, inbound: inbound, grants: grants, reach: reach, sources: sources, grade: grade)
        return entry
    }

    private func template(required key: String, _ known: [String: URLTemplate.Name]) -> URLTemplate? {
        guard let text = fields.string(required: key) else { return nil }
        return fields.attempt(key) { () throws(InvalidValue) in try URLTemplate(text, known: known, reach: reach) }
    }

    /// `issuer: https://…`, or a mapping with `value` and `required`.
    private func issuer(_ known: [String: URLTemplate.Name]) -> IssuerExpectation? {
        guard fields.has("issuer") else { return nil }
        var required = false
        var text: String?
        if fields.value("issuer")?.mapping != nil, let inner = fields.fields("issuer") {
            text = inner.string(required: "value")
            required = inner.bool("required") ?? false
            inner.finish()
        } else {
            text = fields.string("issuer")
        }
        guard let text else { return nil }
        let template = fields.attempt("issuer") { () throws(InvalidValue) in
            try URLTemplate(text, known: known, reach: reach)
        }
        return template.map { IssuerExpectation(value: $0, isRequired: required) }
    }

    private func scopeSeparator(_ key: String) -> String? {
        switch fields.string(key) {
        case nil: return nil
        case "space": return " "
        case "comma": return ","
        case "plus": return "+"
        case let text?:
            fields.fault(key, "must be one of space, comma, plus, not \"\(text)\"")
            return nil
        }
    }

    private func tokenRequest() -> TokenRequestShape {
        let inner = fields.fields("token_request")
        defer { inner?.finish() }
        return TokenRequestShape(
            format: inner?.choice("format") ?? .form, headers: inner?.texts("headers") ?? [:],
            exchangeExtras: inner?.texts("exchange") ?? [:], refreshExtras: inner?.texts("refresh") ?? [:])
    }

    /// Nothing said: the worst is assumed, `strict` with harm `family` (design: unknown providers that rotate).
    private func replay() -> ReplayFacts {
        guard let inner = fields.fields("replay") else { return ReplayFacts(replayClass: .strict, harm: .family) }
        defer { inner.finish() }
        let seconds = inner.int("seconds")
        let harm: ReplayHarm? = inner.choice("harm")
        let kind: ReplayWord? = inner.choice("class")
        if kind == nil, !inner.has("class") { inner.fault("class", "lacks the key `class`") }
        if (kind == .windowed) != (seconds != nil) {
            inner.fault("seconds", "stands with class windowed, and only there")
        }
        let replayClass: ReplayClass =
            switch kind {
            case .replayable: .replayable
            case .untilUsed: .untilUsed
            case .windowed: .windowed(seconds: seconds ?? 0)
            case .strict, nil: .strict
            }
        return ReplayFacts(replayClass: replayClass, harm: harm ?? (replayClass == .replayable ? .none : .family))
    }

    private enum ReplayWord: String, CaseIterable {
        case replayable, windowed, strict
        case untilUsed = "until_used"
    }

    /// `limits: [{per: grant, count: 10, seconds: 600}]`, at most one of each scope.
    private func limits(_ key: String) -> [RateLimit] {
        var found: [RateLimit] = []
        for (node, path) in fields.elements(key) {
            let inner = YAMLFields(node, path: path, list: fields.list)
            defer { inner.finish() }
            guard let scope: RateLimit.Scope = inner.choice("per"), let count = inner.int("count"),
                let seconds = inner.int("seconds"), count > 0, (1...86_400).contains(seconds)
            else {
                inner.list.add(
                    path, node, "needs `per` (provider, app or grant), `count` from 1 and `seconds` to 86400")
                continue
            }
            if found.contains(where: { $0.scope == scope }) {
                inner.list.add(path, node, "is the second limit per \(scope.rawValue); keep the stricter one")
            }
            found.append(RateLimit(scope: scope, count: count, seconds: seconds))
        }
        return found
    }

    private func lifetimes() -> Lifetimes {
        let inner = fields.fields("lifetimes")
        defer { inner?.finish() }
        func seconds(_ key: String) -> Duration? { inner?.int(key).map { .seconds($0) } }
        return Lifetimes(
            access: seconds("access_seconds"), idle: seconds("idle_seconds"), absolute: seconds("absolute_seconds"))
    }
}

/// Extra parameters of an authorization URL; the ones that OAuth itself sets are refused (RFC 6749 §4.1.1, RFC 7636
/// §4.3, OpenID Connect Core §3.1.2.1).
package enum AuthorizeExtras {
    package static let reserved: Set<String> = [
        "response_type", "client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method",
        "nonce", "request", "request_uri", "client_secret", "code_verifier", "code",
    ]

    static func read(_ key: String, _ fields: YAMLFields) -> [String: String] {
        let extras = fields.texts(key) ?? [:]
        for name in extras.keys.sorted() where reserved.contains(name) {
            fields.fault(key, "may not set `\(name)`, which the protocol itself sets")
        }
        return extras
    }
}
