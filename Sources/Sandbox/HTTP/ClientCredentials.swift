import Foundation
import HTTPTypes

/// How a client names itself at the token, revocation and introspection endpoints (RFC 6749 §2.3.1).
struct ClientCredentials: Sendable {
    let id: String
    let secret: String?
    /// Sent as HTTP Basic rather than in the body.
    let isBasic: Bool

    init(headers: HTTPFields, form: FormFields) throws(OAuthRefusal) {
        guard let header = headers[.authorization] else {
            guard let id = form["client_id"] else { throw .client("the client did not name itself") }
            self.init(id: id, secret: form["client_secret"], isBasic: false)
            return
        }
        guard header.lowercased().hasPrefix("basic "),
            let bytes = Data(base64Encoded: String(header.dropFirst(6)).trimmingCharacters(in: .whitespaces)),
            let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
        else {
            throw OAuthRefusal(
                status: 401, code: "invalid_client", reason: "Authorization is not a HTTP Basic credential",
                outcome: .refusedClient, asksForBasic: true)
        }
        // Both halves are form-encoded inside.
        self.init(
            id: PercentText.decodeForm(bytes[..<colon]),
            secret: PercentText.decodeForm(bytes[bytes.index(after: colon)...]),
            isBasic: true)
        if form["client_secret"] != nil {
            throw .malformed("invalid_request", "the client authenticated twice, by Basic and in the body")
        }
        if let other = form["client_id"], other != id {
            throw .malformed("invalid_request", "client_id is not the client that authenticated")
        }
    }

    private init(id: String, secret: String?, isBasic: Bool) {
        self.id = id
        self.secret = secret
        self.isBasic = isBasic
    }
}
