/// An authorization request (RFC 6749 §4.1.1) that may be answered by a redirect, because its client and address are good.
struct AuthorizationRequest: Sendable {
    /// Why a request gets a page instead of a redirect: nobody knows yet where it may be answered.
    struct Unanswerable: Error, Sendable {
        let reason: String
    }

    /// Why it is refused, told to the client by redirect (RFC 6749 §4.1.2.1).
    struct Refusal: Error, Sendable {
        let code: String
        let reason: String
    }

    let client: String
    let redirectURI: String
    let state: String?
    let fields: FormFields

    init(_ fields: FormFields, clients: [String: OAuthClient]) throws(Unanswerable) {
        if let name = fields.repeatedName {
            throw Unanswerable(reason: "The parameter \(name.debugDescription) occurs more than once.")
        }
        guard let id = fields["client_id"] else { throw Unanswerable(reason: "The parameter client_id is missing.") }
        guard let client = clients[id] else {
            throw Unanswerable(
                reason:
                    "No client is called \(id.debugDescription). Use sandbox-client, or register it over the control API."
            )
        }
        guard let uri = fields["redirect_uri"] else {
            throw Unanswerable(reason: "The parameter redirect_uri is missing.")
        }
        guard client.accepts(redirectURI: uri) else {
            throw Unanswerable(
                reason: client.redirectURIs.isEmpty
                    ? "\(uri.debugDescription) is neither an https address nor http on a loopback host."
                    : "\(uri.debugDescription) is not registered for this client.")
        }
        self.client = id
        redirectURI = uri
        state = fields["state"]
        self.fields = fields
    }

    /// What the code must remember of the PKCE challenge (RFC 7636 §4.3).
    func challenge(isRequired: Bool) throws(Refusal) -> String? {
        guard fields["response_type"] == "code" else {
            throw Refusal(code: "unsupported_response_type", reason: "response_type must be code")
        }
        guard let challenge = fields["code_challenge"] else {
            if isRequired { throw Refusal(code: "invalid_request", reason: "code_challenge is missing") }
            return nil
        }
        guard fields["code_challenge_method"] == "S256" else {
            throw Refusal(code: "invalid_request", reason: "code_challenge_method must be S256")
        }
        guard challenge.utf8.count == 43 else {
            throw Refusal(code: "invalid_request", reason: "code_challenge is not 43 characters long")
        }
        return challenge
    }

    /// Where the browser goes with `parameters`, `state` and the issuer (RFC 9207).
    func answer(_ parameters: [(name: String, value: String)], issuer: String) -> String {
        var all = parameters
        if let state { all.append(("state", state)) }
        all.append(("iss", issuer))
        let query = all.map { "\($0.name)=\(PercentText.encode($0.value))" }.joined(separator: "&")
        return redirectURI + (redirectURI.contains("?") ? "&" : "?") + query
    }
}
