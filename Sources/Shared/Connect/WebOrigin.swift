import Credentials
import Foundation

/// `scheme://host[:port]`, in lower case, without the default port: what two URLs of one site share (RFC 6454).
package struct WebOrigin: Sendable, Hashable, CustomStringConvertible {
    package let scheme: String
    package let host: String
    package let port: Int?

    /// Reads the origin of a URL that a browser may be sent to: https, or http on loopback; no user information.
    /// - Throws: ``InvalidValue`` that names `item`.
    package init(of url: String, item: String) throws(InvalidValue) {
        guard let parts = URLComponents(string: url, encodingInvalidCharacters: false),
            let scheme = parts.scheme?.lowercased(), let host = parts.encodedHost?.lowercased(), !host.isEmpty
        else {
            throw InvalidValue(
                item: item, problem: "is not an absolute URL", repair: "send one such as https://app.example.com/done")
        }
        if parts.user != nil || parts.password != nil {
            throw InvalidValue(item: item, problem: "holds user information", repair: "remove what stands before @")
        }
        guard scheme == "https" || (scheme == "http" && Self.isLoopback(host)) else {
            throw InvalidValue(
                item: item, problem: "is not https",
                repair: "use https; http is for localhost, 127.0.0.1 and [::1] only")
        }
        self.scheme = scheme
        self.host = host
        port = parts.port == (scheme == "https" ? 443 : 80) ? nil : parts.port
    }

    /// Reads an origin that stands alone: no path, query or fragment.
    package init(parsing text: String, item: String) throws(InvalidValue) {
        self = try WebOrigin(of: text, item: item)
        let rest = URLComponents(string: text, encodingInvalidCharacters: false)
        guard let rest, rest.percentEncodedPath.isEmpty || rest.percentEncodedPath == "/",
            rest.percentEncodedQuery == nil,
            rest.percentEncodedFragment == nil
        else {
            throw InvalidValue(
                item: item, problem: "is more than an origin", repair: "send scheme and host only, such as \(self)")
        }
    }

    package var description: String { "\(scheme)://\(host)\(port.map { ":\($0)" } ?? "")" }

    package var isLoopback: Bool { Self.isLoopback(host) }

    private static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "[::1]" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
