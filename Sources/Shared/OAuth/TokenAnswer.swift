import Catalog
import Credentials
import Foundation

/// What a successful exchange or refresh gave.
package struct IssuedTokens: Sendable {
    package var tokens: TokenSet
    /// Whether the answer itself held a refresh token.
    package let hasNewRefreshToken: Bool
    /// Scopes asked for and not granted; of exchanges whose answer names its scopes.
    package var missingScopes: [String]
    /// Values that were dropped: hosts outside the catalog, required facts that are missing, an ID token of another
    /// client. A connect fails on any; a refresh goes on with the old values.
    package var refusedFacts: [InvalidValue]

    package init(
        tokens: TokenSet, hasNewRefreshToken: Bool, missingScopes: [String] = [], refusedFacts: [InvalidValue] = []
    ) {
        self.tokens = tokens
        self.hasNewRefreshToken = hasNewRefreshToken
        self.missingScopes = missingScopes
        self.refusedFacts = refusedFacts
    }
}

/// Reads token answers by their shape in the catalog.
struct TokenAnswerReader {
    let provider: Provider
    /// The attempt's start: lifetimes count from it, so that they are never taken for longer than they are.
    let startedAt: Date

    /// - Returns: nil when the answer holds no access token.
    func read(_ document: JSONValue) -> IssuedTokens? {
        let shape = provider.answer
        func text(_ path: AnswerPath) -> String? {
            guard let text = document[path]?.plain, !text.isEmpty else { return nil }
            return text
        }
        guard let root = shape.roots.first(where: { text($0 + shape.accessToken) != nil }),
            let access = text(root + shape.accessToken)
        else { return nil }
        let refresh = text(root + shape.refreshToken)
        var tokens = TokenSet(accessToken: Secret(access), refreshToken: refresh.map { Secret($0) })
        tokens.tokenType = text(root + shape.tokenType) ?? "Bearer"
        tokens.expiresAt = expiry(document, root, access)
        tokens.refreshExpiresAt = shape.refreshExpiresIn.lazy.compactMap { document[root + $0]?.seconds }.first
            .flatMap(end(after:))
        if tokens.refreshExpiresAt == nil, let path = shape.refreshExpiresAt, let value = document[root + path] {
            tokens.refreshExpiresAt = Moment.read(value)
        }
        tokens.scopes = document[root + shape.scope].flatMap { Self.scopes($0, shape.scopeSeparator) }
        for (name, path) in shape.furtherTokens {
            // The root's own token is the access token already.
            guard let token = text(path), token != access, token != refresh else { continue }
            tokens.furtherTokens[name] = Secret(token)
        }
        return IssuedTokens(tokens: tokens, hasNewRefreshToken: refresh != nil, refusedFacts: [])
    }

    /// The facts that `value` finds, each checked by its type; a refused or missing one is told instead.
    static func collect(
        _ facts: [Fact], isFirst: Bool, _ value: (Fact.Source) -> String?
    ) -> (facts: [String: String], refused: [InvalidValue]) {
        var found: [String: String] = [:]
        var refused: [InvalidValue] = []
        for fact in facts {
            guard let text = value(fact.source), !text.isEmpty else {
                if fact.isRequired, isFirst {
                    refused.append(
                        InvalidValue(
                            item: fact.name, problem: "did not come with the provider's answer",
                            repair: "connect again; if it stays away, the account has nothing to connect"))
                }
                continue
            }
            do { found[fact.name] = try fact.kind.check(text, item: fact.name) } catch {
                if fact.isRequired || !fact.kind.isText { refused.append(error) }
            }
        }
        return (found, refused)
    }

    private func expiry(_ document: JSONValue, _ root: AnswerPath, _ access: String) -> Date? {
        let shape = provider.answer
        if let seconds = document[root + shape.expiresIn]?.seconds { return end(after: seconds) }
        if let path = shape.expiresAt, let value = document[root + path] { return Moment.read(value) }
        if shape.readsExpiryOfJWT, let value = IDTokenClaims(access)?.claims[AnswerPath("exp")] {
            return Moment.read(value)
        }
        return provider.lifetimes.access.map { startedAt.addingTimeInterval(TimeInterval($0.components.seconds)) }
    }

    /// 0 and below mean no end (Mailchimp, Keycloak's offline tokens).
    private func end(after seconds: Double) -> Date? {
        seconds > 0 ? startedAt.addingTimeInterval(min(seconds, 100 * 365 * 86_400)) : nil
    }

    static func scopes(_ value: JSONValue, _ separator: String) -> [String]? {
        switch value {
        case .list(let elements): elements.compactMap(\.plain)
        case .text(let text):
            text.split(whereSeparator: { $0.isWhitespace || String($0) == separator }).map(String.init)
        default: nil
        }
    }
}

/// A moment in an answer: ISO 8601, or seconds or milliseconds since 1970.
enum Moment {
    static func read(_ value: JSONValue) -> Date? {
        if let number = value.seconds {
            // Seconds reach 10¹¹ in the year 5138; what is larger counts milliseconds.
            return number > 0 ? Date(timeIntervalSince1970: number >= 100_000_000_000 ? number / 1000 : number) : nil
        }
        guard case .text(let text) = value else { return nil }
        let whole = Date.ISO8601FormatStyle()
        return (try? whole.parse(text)) ?? (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
    }
}

extension ValueKind {
    fileprivate var isText: Bool { self == .text }
}

extension TokenSet {
    /// This set, with what its answer left out taken from the one before: refresh token (Google and others send none
    /// on refresh, RFC 6749 §6), its end, scopes, further tokens and facts.
    package func carryingOver(_ previous: TokenSet) -> TokenSet {
        var merged = self
        if refreshToken == nil {
            merged.refreshToken = previous.refreshToken
            merged.refreshExpiresAt = refreshExpiresAt ?? previous.refreshExpiresAt
        }
        merged.scopes = scopes ?? previous.scopes
        merged.furtherTokens = previous.furtherTokens.merging(furtherTokens) { _, new in new }
        merged.facts = previous.facts.merging(facts) { _, new in new }
        return merged
    }
}
