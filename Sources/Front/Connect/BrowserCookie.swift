import Connect
import Credentials
import HTTPTypes
import Hummingbird
import Vault

/// The cookie that binds sessions and authorization requests to one browser: 256 random bits.
///
/// `__Host-` where the front is reached by https: such a cookie cannot be set by a sibling domain or over http. On
/// plain-http loopback, for development, it has another name and no `Secure`.
struct BrowserCookie: Sendable {
    let name: String
    private let isSecure: Bool

    init(publicURL: String) {
        isSecure = publicURL.hasPrefix("https:")
        name = isSecure ? "__Host-evergrant" : "evergrant-browser"
    }

    /// What the browser sent; nil when there is none of the right form.
    func read(_ request: Request) -> Secret? {
        for field in request.headers[values: .cookie] {
            for pair in field.split(separator: ";") {
                let halves = pair.split(separator: "=", maxSplits: 1)
                guard halves.count == 2, halves[0].trimmingPrefix(while: { $0 == " " }) == name else { continue }
                guard Encoding.bytes(base64url: halves[1])?.count == 32 else { return nil }
                return Secret(String(halves[1]))
            }
        }
        return nil
    }

    func binding(_ request: Request) -> BrowserBinding? { read(request).map { BrowserBinding(cookie: $0) } }

    /// For `Set-Cookie`. Lax: it must come along when a provider sends the browser back by GET.
    func header(_ value: Secret) -> String {
        "\(name)=\(value.revealedText()); Path=/; Max-Age=604800; HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "")
    }
}
