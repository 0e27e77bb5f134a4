import Catalog
import Credentials
import Egress

/// Where the API calls of a connection go.
package struct APIEndpoint: Sendable, Hashable {
    /// Checked; without a slash at its end.
    package let base: String
    package let policy: AddressPolicy
    package let allowsPlainHTTP: Bool
}

extension AddressPolicy {
    /// Who named the host decides: a user or an answer, then public addresses only; the operator's file, then its
    /// networks too; the sandbox, then this machine alone.
    package init(for template: URLTemplate, reach: Reach) {
        if reach.isSandbox {
            self = .loopbackOnly
        } else if template.hostIsOutside || reach.networks.isEmpty {
            self = .publicOnly
        } else {
            self = .allowing(networks: reach.networks)
        }
    }
}

extension Integration {
    /// - Throws: ``InvalidValue`` when the integration has no API base, or a fact that it needs is missing or refused.
    package func endpoint(tokens: TokenSet, app: OAuthApp?) throws(InvalidValue) -> APIEndpoint {
        guard let apiBase else {
            throw InvalidValue(item: id, problem: "has no API base", repair: "give the integration an api_base")
        }
        var base = try apiBase.resolve(app?.values(tokens.facts) ?? tokens.facts)
        while base.hasSuffix("/") { base.removeLast() }
        return APIEndpoint(
            base: base, policy: AddressPolicy(for: apiBase, reach: reach), allowsPlainHTTP: reach.allowsPlainHTTP)
    }

    /// Headers that go with every call unless the caller sets them.
    /// - Throws: ``InvalidValue`` when a fact that one needs is missing.
    package func defaultHeaders(tokens: TokenSet, app: OAuthApp?) throws(InvalidValue) -> [(
        name: String, value: String
    )] {
        let values = app?.values(tokens.facts) ?? tokens.facts
        var result: [(name: String, value: String)] = []
        for (name, template) in headers.sorted(by: { $0.key < $1.key }) {
            result.append((name, try template.resolve(values)))
        }
        return result
    }
}
