import HTTPTypes
import Hummingbird
import NIOCore

/// `POST /{class}/token`: code exchange and refresh (RFC 6749 §4.1.3 and §6).
struct TokenEndpoint: Sendable {
    let state: SandboxState
    let interference: Interference

    func respond(_ request: Request, _ providerClass: ProviderClass, _ context: SandboxContext) async -> Response {
        let form: FormFields
        do {
            form = try await OAuthForm.read(request)
        } catch {
            return Answer(error).response
        }
        let isExchange = form["grant_type"] == "authorization_code"
        let call = state.arrive(
            isExchange ? .tokenCode : .tokenRefresh, of: providerClass,
            client: form["client_id"] ?? OAuthForm.client(request),
            token: isExchange ? form["code"] : form["refresh_token"])
        return await interference.run(call, on: context.channel) {
            state.withBook { book, now in
                do throws(OAuthRefusal) {
                    return try answer(form, request.headers, providerClass, &book, now)
                } catch {
                    return Answer(error)
                }
            }
        }
    }

    private func answer(
        _ form: FormFields, _ headers: HTTPFields, _ providerClass: ProviderClass, _ book: inout ProviderBook,
        _ now: Double
    ) throws(OAuthRefusal) -> Answer {
        if let name = form.repeatedName {
            throw .malformed("invalid_request", "\(name.debugDescription) occurs more than once")
        }
        let client = try ClientCredentials(headers: headers, form: form)
        try book.authenticate(client, in: providerClass)
        switch form["grant_type"] {
        case "authorization_code":
            guard let code = form["code"] else { throw .malformed("invalid_request", "code is missing") }
            let (grant, set) = try book.exchange(
                code: code, redirectURI: form["redirect_uri"], verifier: form["code_verifier"], client: client.id,
                in: providerClass, now: now)
            var answer = success(set, book.settings[providerClass], isFirst: true, of: providerClass)
            answer.grant = grant
            return answer
        case "refresh_token":
            guard let token = form["refresh_token"] else {
                throw .malformed("invalid_request", "refresh_token is missing")
            }
            let set = try book.refresh(token, scope: form["scope"], client: client.id, in: providerClass, now: now)
            return success(set, book.settings[providerClass], isFirst: false, of: providerClass)
        case nil:
            throw .malformed("invalid_request", "grant_type is missing")
        case .some(let other):
            throw .malformed(
                "unsupported_grant_type",
                "grant_type \(other.debugDescription) is neither authorization_code nor refresh_token")
        }
    }

    private func success(
        _ set: IssuedSet, _ settings: ClassSettings, isFirst: Bool, of providerClass: ProviderClass
    ) -> Answer {
        var text = "{\"access_token\":\"\(set.pair.access.value)\",\"token_type\":\"Bearer\""
        switch settings.expiresInForm {
        case .number: text += ",\"expires_in\":\(set.expiresIn)"
        case .text: text += ",\"expires_in\":\"\(set.expiresIn)\""
        case .absent: break
        }
        if isFirst || providerClass.rotation != .never || !settings.omitsRefreshToken {
            text += ",\"refresh_token\":\"\(set.pair.refresh.value)\""
            if let life = settings.refreshLifetime { text += ",\"refresh_token_expires_in\":\(Int(life))" }
        }
        text += ",\"scope\":\""
        JSONText.append(set.scope, to: &text)
        text += "\"}"
        var answer = Answer(
            200, text, outcome: set.isAgain ? .reissued : .issued,
            headers: [.cacheControl: "no-store"])
        answer.issued = set.pair.refresh.name
        return answer
    }
}
