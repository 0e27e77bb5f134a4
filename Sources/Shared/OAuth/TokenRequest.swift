import Catalog
import Credentials
import Egress
import Foundation
import Vault

/// A request to a token or revocation endpoint, being written.
struct TokenRequest {
    var headers: [(name: String, value: String)] = []
    var parameters: [(name: String, value: String)] = []

    /// Sets `parameter`; a later one of the same name replaces an earlier one.
    mutating func set(_ name: String, _ value: String) {
        parameters.removeAll { $0.name == name }
        parameters.append((name, value))
    }

    /// Adds the client's proof. A client without a secret sends its id alone (RFC 6749 §3.2.1).
    mutating func authenticate(_ app: OAuthApp, provider: Provider, as method: ClientAuthentication) {
        guard let secret = app.clientSecret, method != .none else {
            set(provider.clientIDParameter, app.clientID)
            return
        }
        switch method {
        case .basic:
            // RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
            let pair = secret.withText { FormEncoding.encode(app.clientID) + ":" + FormEncoding.encode($0) }
            headers.append(("Authorization", "Basic " + Encoding.base64(Array(pair.utf8))))
        case .body:
            set(provider.clientIDParameter, app.clientID)
            set(provider.clientSecretParameter, secret.revealedText())
        case .none:
            break
        }
    }

    /// The body in `format`, with its `Content-Type`; an `Accept` unless one was set.
    func encoded(_ format: TokenRequestShape.Format) -> (headers: [(name: String, value: String)], body: EgressBody) {
        var headers = headers
        if !headers.contains(where: { $0.name.lowercased() == "accept" }) {
            headers.append(("Accept", "application/json"))
        }
        switch format {
        case .form:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
            return (headers, .bytes(Array(FormEncoding.encode(parameters).utf8)))
        case .json:
            headers.append(("Content-Type", "application/json"))
            let members = parameters.map { JSONText.quoted($0.name) + ":" + JSONText.quoted($0.value) }
            return (headers, .bytes(Array("{\(members.joined(separator: ","))}".utf8)))
        case .query:
            return (headers, .none)
        }
    }
}

/// Texts as JSON writes them (RFC 8259 §7).
enum JSONText {
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{0}"..."\u{1f}":
                result +=
                    "\\u" + String(repeating: "0", count: scalar.value < 16 ? 3 : 2)
                    + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
