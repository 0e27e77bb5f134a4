import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// `/key`: the page on which a user of the provider makes an API key. `POST` with `account` makes one.
struct KeyEndpoint: Sendable {
    let state: SandboxState

    func respond(_ request: Request) async -> Response {
        guard request.method == .post else {
            return Page.answer(200, ProviderPage.newKey(account: state.settings[.key].account)).response
        }
        guard let body = try? await request.body.collect(upTo: 65_536) else {
            return Page.answer(413, ProviderPage.fault("The body is cut, or over 64 KiB.")).response
        }
        let fields = FormFields(parsing: body.readableBytesView)
        let account = (fields["account"] ?? state.settings[.key].account).trimmingCharacters(
            in: .whitespacesAndNewlines)
        guard !account.isEmpty, account.utf8.count <= 254 else {
            return Page.answer(400, ProviderPage.fault("The account must be 1 to 254 bytes long.")).response
        }
        return Page.answer(201, ProviderPage.key(state.makeKey(account: account), account: account)).response
    }
}

/// How pages are sent.
enum Page {
    static func answer(_ status: Int, _ html: String) -> Answer {
        Answer(
            status, html, type: "text/html; charset=utf-8", outcome: .served,
            headers: [
                .cacheControl: "no-store",
                .contentSecurityPolicy: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ])
    }
}
