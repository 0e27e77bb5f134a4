import Credentials
import Foundation

/// Where a credential goes in a call to the API.
package enum CredentialPlacement: Sendable, Hashable {
    /// A header: prefix and token. `token` nil is the access token or key, otherwise a name in `furtherTokens`.
    case header(name: String, prefix: String, token: String?)
    case query(name: String, token: String?)
    /// Basic authentication; both parts are templates over the fields of the form, `{access_token}` being the key.
    case basic(username: String, password: String)

    /// Headers and query items that carry the credential. A further token that the grant lacks places nothing.
    package func apply(_ tokens: TokenSet) -> PlacedCredential {
        switch self {
        case .header(let name, let prefix, let token):
            guard let secret = tokens.token(named: token) else { return PlacedCredential() }
            return PlacedCredential(headers: [(name, prefix + secret.revealedText())])
        case .query(let name, let token):
            guard let secret = tokens.token(named: token) else { return PlacedCredential() }
            return PlacedCredential(query: [(name, secret.revealedText())])
        case .basic(let username, let password):
            let pair = Self.fill(username, tokens) + ":" + Self.fill(password, tokens)
            return PlacedCredential(headers: [("Authorization", "Basic " + Data(pair.utf8).base64EncodedString())])
        }
    }

    /// Lower-case names of the headers it sets, to be stripped from what a caller sends.
    package var headerNames: [String] {
        switch self {
        case .header(let name, _, _): [name.lowercased()]
        case .query: []
        case .basic: ["authorization"]
        }
    }

    /// Names of the query items it sets, to be stripped from what a caller sends.
    package var queryNames: [String] { if case .query(let name, _) = self { [name] } else { [] } }

    /// Names in braces of a basic template.
    static func names(in template: String) -> [String] {
        template.split(separator: "{").dropFirst(template.hasPrefix("{") ? 0 : 1)
            .compactMap { part in part.firstIndex(of: "}").map { String(part[..<$0]) } }
    }

    private static func fill(_ template: String, _ tokens: TokenSet) -> String {
        var result = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            result += rest[..<open]
            let name = String(rest[rest.index(after: open)..<close])
            result +=
                tokens.token(named: name == "access_token" ? nil : name)?.revealedText() ?? tokens.facts[name] ?? ""
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }
}

/// A credential, ready to be added to a request. Holds plaintext: make it last, keep it nowhere.
package struct PlacedCredential: Sendable, CustomStringConvertible {
    package var headers: [(name: String, value: String)] = []
    package var query: [(name: String, value: String)] = []

    package var description: String { "<redacted>" }
}

extension TokenSet {
    fileprivate func token(named name: String?) -> Secret? {
        guard let name else { return accessToken }
        return furtherTokens[name]
    }
}
