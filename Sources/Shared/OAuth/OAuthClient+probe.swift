import Catalog
import Credentials
import Egress
import Foundation

/// What a probe told of a working credential.
package struct ProbeAnswer: Sendable {
    /// Whether a call was made; an integration without a probe is taken at its word.
    package let tested: Bool
    package let account: Account?
    /// To be merged into the token set's facts.
    package let facts: [String: String]
    /// As in ``IssuedTokens/refusedFacts``: a connect fails on any.
    package let refusedFacts: [InvalidValue]
    /// Granted scopes, where the probe tells them; nil: it does not.
    package var scopes: [String]?

    package init(tested: Bool, account: Account?, facts: [String: String] = [:], refusedFacts: [InvalidValue] = []) {
        self.tested = tested
        self.account = account
        self.facts = facts
        self.refusedFacts = refusedFacts
    }
}

/// The user's account at the provider.
package struct Account: Sendable, Hashable {
    package let id: String
    /// For people.
    package let label: String

    package init(id: String, label: String) {
        self.id = id
        self.label = label
    }
}

extension OAuthClient {
    /// Calls the integration's probe with the credential placed. A probe spends nothing, so an answer that says nothing
    /// (5xx, a page) is provider trouble. A refusal as `dead` means, for OAuth: refresh first.
    package func probe(
        _ tokens: TokenSet, integration: Integration, app: OAuthApp?, timeout: Duration = .seconds(15)
    ) async -> ProviderOutcome<ProbeAnswer> {
        guard let probe = integration.probe else {
            return .success(learn(from: .object([:]), tokens: tokens, integration: integration, tested: false))
        }
        let values = app?.values(tokens.facts) ?? tokens.facts
        let placed = integration.placement.apply(tokens)
        var headers = placed.headers
        func add(_ name: String, _ value: String) {
            if !headers.contains(where: { $0.name.lowercased() == name.lowercased() }) { headers.append((name, value)) }
        }
        for (name, value) in probe.headers.sorted(by: { $0.key < $1.key }) { add(name, value) }
        for (name, template) in integration.headers.sorted(by: { $0.key < $1.key }) {
            // A header whose fact the probe is about to teach is left out.
            if let value = try? template.resolve(values) { add(name, value) }
        }
        add("Accept", "application/json")
        if probe.body != nil { add("Content-Type", "application/json") }
        var request: EgressRequest
        do {
            request = try Self.request(
                probe.method, probe.url, values, reach: integration.reach, headers: headers,
                body: probe.body.map { .bytes(Array($0.utf8)) } ?? .none)
        } catch { return .notSent(EgressFailure(.badURL, error.description)) }
        if !placed.query.isEmpty {
            request.url += (request.url.contains("?") ? "&" : "?") + FormEncoding.encode(placed.query)
        }
        request.timeout = timeout
        request.retriesIdempotent = true
        switch await transport.send(request) {
        case .notSent(let failure): return .notSent(failure)
        case .ambiguous(let failure): return .ambiguous(ProviderAmbiguity(failure: failure))
        case .answered(let response): return judge(response, probe, tokens: tokens, integration: integration)
        }
    }

    private func judge(_ response: EgressResponse, _ probe: Probe, tokens: TokenSet, integration: Integration)
        -> ProviderOutcome<ProbeAnswer>
    {
        let document = AnswerDocument(response)
        let isAlive =
            probe.aliveStatuses.isEmpty
            ? (200..<300).contains(response.status) : probe.aliveStatuses.contains(response.status)
        let isConfirmed = probe.successField.map { rule in document.fields.map(rule.holds) ?? false } ?? true
        // A sleeping instance answers 200 with a page (ServiceNow): that shows nothing.
        let isPage = if case .html = document { true } else { false }
        if isAlive, isConfirmed, !isPage {
            let fields = document.fields ?? .object([:])
            var answer = learn(from: fields, tokens: tokens, integration: integration, tested: true)
            answer.scopes = Self.scopes(probe.scopes, response, fields)
            return .success(answer)
        }
        var judgement = Judgement(
            table: probe.verdicts, errorCode: probe.errorCode, errorDescription: probe.errorDescription,
            secrets: [tokens.accessToken] + tokens.furtherTokens.values, now: Date())
        judgement.generic = { $0.status == 401 ? .dead : .unknown }
        switch judgement.judge(response, document, isDefinite: true) {
        case .refused(let refusal): return .refused(refusal)
        case .ambiguous(let ambiguity):
            let sample = ambiguity.sample ?? AnswerSample(status: response.status)
            return .refused(
                ProviderRefusal(verdict: .providerTrouble(retryAfter: ambiguity.retryAfter), sample: sample))
        }
    }

    private static func scopes(
        _ facts: ProbeScopes?, _ response: EgressResponse, _ fields: JSONValue
    ) -> [String]? {
        let value: JSONValue?
        switch facts?.place {
        case .header(let name)?: value = response.headers[name].map { .text($0) }
        case .field(let path)?: value = fields[path]
        case nil: value = nil
        }
        // A fine-grained token of GitHub sends the header empty: it has permissions instead of scopes.
        guard let facts, let value, value != .text("") else { return nil }
        return TokenAnswerReader.scopes(value, facts.separator)
    }

    private func learn(from answer: JSONValue, tokens: TokenSet, integration: Integration, tested: Bool) -> ProbeAnswer
    {
        let found = TokenAnswerReader.collect(integration.facts, isFirst: true) { source in
            if case .probe(let path) = source { answer[path]?.plain } else { nil }
        }
        let facts = tokens.facts.merging(found.facts) { _, new in new }
        let known = JSONValue.object(["facts": .object(facts.mapValues { .text($0) }), "probe": answer])
        func first(_ paths: [AnswerPath]) -> String? {
            paths.lazy.compactMap { known[$0]?.plain }.first { !$0.isEmpty }
        }
        let id = first(integration.account.id)
        let account = id.map { Account(id: $0, label: first(integration.account.label) ?? $0) }
        return ProbeAnswer(tested: tested, account: account, facts: found.facts, refusedFacts: found.refused)
    }
}
