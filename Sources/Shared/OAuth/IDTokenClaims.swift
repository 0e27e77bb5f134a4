import Catalog
import Credentials
import Foundation
import Vault

/// The claims of an ID token that came straight from the token endpoint over TLS, which stands in for its signature
/// (OpenID Connect Core §3.1.3.7, rule 6).
struct IDTokenClaims: Sendable {
    let claims: JSONValue

    /// - Returns: nil when `token` is no JWT.
    init?(_ token: String) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = Encoding.bytes(base64url: parts[1]),
            let value = try? JSONDecoder().decode(JSONValue.self, from: Data(bytes)), case .object = value
        else { return nil }
        claims = value
    }

    func text(_ claim: String) -> String? { claims[AnswerPath(claim)]?.plain }

    /// What is wrong with it for this request, or nil: audience, nonce and issuer (rules 2, 3 and 11).
    func problem(clientID: String, nonce: String?, issuer: String?) -> InvalidValue? {
        func refuse(_ problem: String) -> InvalidValue {
            InvalidValue(item: "id_token", problem: problem, repair: "start the connect again")
        }
        switch claims[AnswerPath("aud")] {
        case .text(clientID)?: break
        case .list(let audiences)? where audiences.contains(.text(clientID)): break
        default: return refuse("is for another client")
        }
        if let nonce, text("nonce") != nonce { return refuse("belongs to another authorization") }
        if let issuer, text("iss") != issuer { return refuse("is of another issuer") }
        return nil
    }
}
