import Catalog
import Credentials
import Egress
import Foundation

/// Applies a verdict table to an answer that is no success. Order of the rules: ``VerdictTable``.
struct Judgement {
    let table: VerdictTable
    let errorCode: [AnswerPath]
    let errorDescription: [AnswerPath]
    /// The refresh token's places, to find one in a refusal.
    var refreshToken: [AnswerPath] = []
    /// What was sent, to be hidden in samples and not to be "found" again.
    var secrets: [Secret] = []
    /// Meaning of an answer that no rule of the table names.
    var generic: (AnswerFacts) -> Verdict = Judgement.standardMeaning
    let now: Date

    /// What matchers look at.
    struct AnswerFacts {
        let status: Int
        let codes: [String]
        let description: String
        let fields: JSONValue?
        var headers = EgressHeaders([])
    }

    enum Finding {
        case refused(ProviderRefusal)
        case ambiguous(ProviderAmbiguity)
    }

    /// - Parameter isDefinite: whether the caller saw an error shape, so that a 2xx is a refusal too.
    func judge(_ response: EgressResponse, _ document: AnswerDocument, isDefinite: Bool) -> Finding {
        let facts = facts(of: response, document)
        let sample = sample(of: facts, response)
        let retryAfter = RetryAfter.read(response, document, now: now)
        let found = foundRefreshToken(in: document)
        func refused(_ verdict: Verdict) -> Finding {
            .refused(ProviderRefusal(verdict: verdict, sample: sample, foundRefreshToken: found))
        }
        if let verdict = listed(facts, retryAfter) { return refused(verdict) }
        if response.status == 429 { return refused(.providerTrouble(retryAfter: retryAfter)) }
        let saysNothing: Bool =
            switch document {
            case .html, .broken: true
            case .empty, .text, .fields: response.status < 300 && !isDefinite
            }
        if response.status >= 500 || response.status == 408 || saysNothing {
            return .ambiguous(
                ProviderAmbiguity(sample: sample, retryAfter: retryAfter, foundRefreshToken: found))
        }
        guard table.usesGenericCodes else { return refused(.unknown) }
        if case .providerTrouble = generic(facts) { return refused(.providerTrouble(retryAfter: retryAfter)) }
        return refused(generic(facts))
    }

    /// The verdict of the first list that names the answer. A 5xx is only matched by entries that give its status:
    /// what a failing server says of a grant is no refusal.
    private func listed(_ facts: AnswerFacts, _ retryAfter: Duration?) -> Verdict? {
        func matches(_ matcher: AnswerMatcher) -> Bool {
            if facts.status >= 500 || facts.status == 429 || facts.status == 408, matcher.statuses.isEmpty {
                return false
            }
            return matcher.matches(facts)
        }
        if table.certain.contains(where: matches) { return .certainlyRevoked }
        if let friend = table.falseFriends.first(where: { matches($0.matcher) }) {
            return friend.isTemporary ? .providerTrouble(retryAfter: retryAfter) : .unknown
        }
        if let need = table.needsUser.first(where: { matches($0.matcher) }) { return .needsUser(need.reason) }
        if table.appFault.contains(where: matches) { return .appFault }
        return table.dead.contains(where: matches) ? .dead : nil
    }

    /// RFC 6749 §5.2, RFC 6750 §3.1, RFC 8628 §3.5 and OpenID Connect Core §3.1.2.6, for codes that no list names.
    static func standardMeaning(_ facts: AnswerFacts) -> Verdict {
        for code in facts.codes {
            switch code {
            case "invalid_grant": return .dead
            case "invalid_client", "unauthorized_client": return .appFault
            case "interaction_required", "login_required", "account_selection_required": return .needsUser(.signIn)
            case "consent_required": return .needsUser(.consent)
            case "temporarily_unavailable", "slow_down", "server_error": return .providerTrouble(retryAfter: nil)
            default: continue
            }
        }
        return .unknown
    }

    private func facts(of response: EgressResponse, _ document: AnswerDocument) -> AnswerFacts {
        let fields = document.fields
        var texts = errorDescription.compactMap { fields?[$0]?.plain }
        // A few answer plain text ("expired token"); a long one is a page.
        if case .text(let text) = document, text.utf8.count <= 512 { texts.append(text) }
        return AnswerFacts(
            status: response.status, codes: errorCode.compactMap { fields?[$0]?.plain },
            description: texts.joined(separator: " "), fields: fields, headers: response.headers)
    }

    private func sample(of facts: AnswerFacts, _ response: EgressResponse) -> AnswerSample {
        let names = ["intuit_tid", "x-request-id", "x-ms-request-id", "x-github-request-id", "x-slack-req-id"]
        let requestID = names.lazy.compactMap { response.headers[$0] }.first
            .map { String($0.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:".contains($0)) }.prefix(64)) }
        return AnswerSample(
            status: facts.status, code: facts.codes.first.map { Redaction.code($0, hiding: secrets) },
            text: facts.description.isEmpty ? nil : Redaction.redact(facts.description, hiding: secrets),
            requestID: requestID)
    }

    private func foundRefreshToken(in document: AnswerDocument) -> Secret? {
        for path in refreshToken {
            guard case .text(let token)? = document.fields?[path], !token.isEmpty else { continue }
            let secret = Secret(token)
            if !secrets.contains(secret) { return secret }
        }
        return nil
    }
}

extension AnswerMatcher {
    func matches(_ answer: Judgement.AnswerFacts) -> Bool {
        if !statuses.isEmpty, !statuses.contains(answer.status) { return false }
        if let code, !answer.codes.contains(code) { return false }
        if let description, !answer.description.lowercased().contains(description.lowercased()) { return false }
        if let header {
            guard let found = answer.headers[header] else { return false }
            if !values.isEmpty, !values.contains(found.trimmingCharacters(in: .whitespaces)) { return false }
        } else if let field {
            let found: [String]
            switch answer.fields?[field] {
            case .list(let elements)?: found = elements.compactMap(\.plain)
            case let value: found = [value?.plain].compactMap(\.self)
            }
            if !found.contains(where: values.contains) { return false }
        }
        return true
    }
}
