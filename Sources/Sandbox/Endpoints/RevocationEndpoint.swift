import HTTPTypes
import Hummingbird

/// `POST /{class}/revoke` (RFC 7009): a token of either kind ends its whole grant; an unknown one is a success.
struct RevocationEndpoint: Sendable {
    let state: SandboxState
    let interference: Interference

    func respond(_ request: Request, _ providerClass: ProviderClass, _ context: SandboxContext) async -> Response {
        let form: FormFields
        do {
            form = try await OAuthForm.read(request)
        } catch {
            return Answer(error).response
        }
        let call = state.arrive(
            .revoke, of: providerClass, client: form["client_id"] ?? OAuthForm.client(request), token: form["token"])
        return await interference.run(call, on: context.channel) {
            state.withBook { book, now in
                do throws(OAuthRefusal) {
                    let client = try ClientCredentials(headers: request.headers, form: form)
                    try book.authenticate(client, in: providerClass)
                    guard let token = form["token"] else { throw .malformed("invalid_request", "token is missing") }
                    let found = try book.revoke(token, client: client.id, in: providerClass, now: now)
                    return Answer(
                        200, "", outcome: .revoked, headers: [.cacheControl: "no-store"], detail: found)
                } catch {
                    return Answer(error)
                }
            }
        }
    }
}
