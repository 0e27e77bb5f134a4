import HTTPTypes
import Hummingbird

/// `POST /{class}/introspect` (RFC 7662). Looking does not use a token: nothing changes, and no ledger line is written.
struct IntrospectionEndpoint: Sendable {
    let state: SandboxState
    let issuer: String

    func respond(_ request: Request, _ providerClass: ProviderClass) async -> Response {
        do throws(OAuthRefusal) {
            let form = try await OAuthForm.read(request)
            let client = try ClientCredentials(headers: request.headers, form: form)
            let answer: Swift.Result<String, OAuthRefusal> = state.withBook { book, now in
                do throws(OAuthRefusal) {
                    try book.authenticate(client, in: providerClass)
                } catch {
                    return .failure(error)
                }
                guard let token = form["token"] else {
                    return .failure(.malformed("invalid_request", "token is missing"))
                }
                return .success(describe(token, of: client.id, providerClass, &book, now))
            }
            return Answer(200, try answer.get(), outcome: .served, headers: [.cacheControl: "no-store"]).response
        } catch {
            return Answer(error).response
        }
    }

    private func describe(
        _ value: String, of client: String, _ providerClass: ProviderClass, _ book: inout ProviderBook, _ now: Double
    ) -> String {
        let inactive = "{\"active\":false}"
        guard let place = book.places[value] else { return inactive }
        book.grants[place.grant]?.age(settings: book.settings[providerClass], now: now)
        guard let grant = book.grants[place.grant], grant.providerClass == providerClass, grant.client == client,
            grant.death == nil
        else { return inactive }
        var text =
            "{\"active\":true,\"client_id\":\(JSONText.quoted(client)),\"username\":\(JSONText.quoted(grant.account))"
        text +=
            ",\"sub\":\"\(Account(grant.account).id)\",\"iss\":\(JSONText.quoted("\(issuer)/\(providerClass.rawValue)"))"
        switch place {
        case .access(_, let id):
            guard let token = grant.accessTokens.last(where: { $0.id == id }), token.death == nil, now < token.expiresAt
            else { return inactive }
            text += ",\"token_type\":\"Bearer\",\"scope\":\(JSONText.quoted(token.scope))"
            text += ",\"iat\":\(Int(token.issuedAt)),\"exp\":\(Int(token.expiresAt))}"
        case .refresh(_, let id):
            guard let token = grant.refreshTokens.last(where: { $0.id == id }), token.death == nil else {
                return inactive
            }
            text += ",\"token_type\":\"refresh_token\",\"scope\":\(JSONText.quoted(grant.scope))"
            text += ",\"iat\":\(Int(token.issuedAt))}"
        }
        return text
    }
}
