import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// `GET /{class}/authorize` shows the consent page, or decides by `auto` or the settings; `POST` takes the decision from
/// the page or from curl. The request's parameters may stand in the query, the body, or both; the body wins.
struct AuthorizationEndpoint: Sendable {
    let state: SandboxState
    let issuer: String

    func respond(_ request: Request, _ target: RequestTarget, _ providerClass: ProviderClass) async -> Response {
        var fields = target.fields
        if request.method == .post {
            guard let body = try? await request.body.collect(upTo: 65_536) else {
                return page(413, ProviderPage.fault("The body is cut, or over 64 KiB."))
            }
            fields = FormFields(parsing: body.readableBytesView).adding(fields)
        }
        let (clients, settings) = state.withBook { book, _ in (book.clients, book.settings[providerClass]) }
        let asked: AuthorizationRequest
        do {
            asked = try AuthorizationRequest(fields, clients: clients)
        } catch {
            return page(400, ProviderPage.fault(error.reason))
        }
        let issuer = "\(issuer)/\(providerClass.rawValue)"
        let challenge: String?
        do {
            challenge = try asked.challenge(isRequired: settings.requiresPKCE)
        } catch {
            return redirect(
                request, asked.answer([("error", error.code), ("error_description", error.reason)], issuer: issuer))
        }
        let account = (fields["account"] ?? fields["login_hint"] ?? settings.account)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let decision =
            fields[request.method == .post ? "decision" : "auto"] ?? fields["auto"] ?? settings.autoConsent?.rawValue
        switch decision {
        case "allow":
            guard !account.isEmpty, account.utf8.count <= 254 else {
                return page(400, ProviderPage.fault("The account must be 1 to 254 bytes long."))
            }
            let code = state.issueCode(
                asked, providerClass: providerClass, account: account, challenge: challenge,
                scope: settings.grantedScope ?? fields["scope"] ?? "")
            return redirect(request, asked.answer([("code", code)], issuer: issuer))
        case "deny":
            return redirect(
                request,
                asked.answer([("error", "access_denied"), ("error_description", "The user said no.")], issuer: issuer))
        case nil where request.method != .post:
            let known = state.accounts(of: providerClass)
            return page(
                200,
                ProviderPage.consent(
                    client: asked.client, providerClass: providerClass, scope: fields["scope"], account: account,
                    known: known, query: String(target.query)))
        default:
            return page(400, ProviderPage.fault("The decision must be allow or deny."))
        }
    }

    private func redirect(_ request: Request, _ location: String) -> Response {
        Response(
            status: request.method == .post ? .seeOther : .found,
            headers: [
                .location: location, .cacheControl: "no-store", .init("Referrer-Policy") ?? .referer: "no-referrer",
            ])
    }

    private func page(_ status: Int, _ html: String) -> Response { Page.answer(status, html).response }
}

extension SandboxState {
    /// Makes an authorization code.
    func issueCode(
        _ request: AuthorizationRequest, providerClass: ProviderClass, account: String, challenge: String?,
        scope: String
    ) -> String {
        let value = TokenMint.value("sbx_code_")
        withBook { book, now in
            if book.codes.count >= 10_000 {
                book.codes = book.codes.filter { now < $0.value.issuedAt + AuthorizationCode.lifetime }
            }
            book.codes[value] = AuthorizationCode(
                providerClass: providerClass, client: request.client, redirectURI: request.redirectURI,
                account: account,
                scope: scope, challenge: challenge, issuedAt: now, grant: nil)
        }
        return value
    }

    /// Up to 20 accounts that have granted something in this class, for the page's suggestions.
    func accounts(of providerClass: ProviderClass) -> [String] {
        withBook { book, _ in
            Set(book.grants.values.lazy.filter { $0.providerClass == providerClass }.map(\.account)).sorted().prefix(20)
                .map { $0 }
        }
    }
}
