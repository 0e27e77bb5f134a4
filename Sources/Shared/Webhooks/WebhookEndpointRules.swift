import Credentials
import Foundation
import Store

/// What name, URL and types of an endpoint may be.
package enum WebhookEndpointRules {
    /// Longest URL, in bytes.
    static let maximumURLLength = 2048

    package static func check(name: String) throws(InvalidValue) {
        let bytes = name.utf8
        let isSlug = bytes.allSatisfy { byte in
            (97...122).contains(byte) || (48...57).contains(byte) || byte == 45 || byte == 95
        }
        guard (1...64).contains(bytes.count), isSlug else {
            throw InvalidValue(
                item: "webhook endpoint name", problem: "is not valid",
                repair: "use 1 to 64 lower-case letters, digits, hyphens or underscores")
        }
    }

    /// The address is judged again when something is sent, after its name was resolved.
    package static func check(url: String, allowsPlainHTTP: Bool) throws(InvalidValue) {
        func invalid(_ problem: String, _ repair: String) -> InvalidValue {
            InvalidValue(item: "webhook URL", problem: problem, repair: repair)
        }
        guard url.utf8.count <= maximumURLLength else {
            throw invalid("has \(url.utf8.count) bytes", "use at most \(maximumURLLength)")
        }
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), let parts = URLComponents(string: url) else {
            throw invalid("is not a URL", "send an absolute one in ASCII, percent-encoded")
        }
        let scheme = parts.scheme?.lowercased()
        guard scheme == "https" || scheme == "http" else {
            throw invalid("has no scheme that can be used", "begin it with https://")
        }
        guard scheme == "https" || allowsPlainHTTP else {
            throw invalid("is plain http", "use https://, or set webhooks.allow_http for a receiver inside")
        }
        guard let host = parts.host, !host.isEmpty else { throw invalid("names no host", "send an absolute one") }
        // Metadata services stand at these for every cloud; no setting allows them.
        guard !host.hasPrefix("169.254."), !["[fd00:ec2::254]", "fd00:ec2::254"].contains(host.lowercased()) else {
            throw invalid(
                "is a link-local address, where clouds keep their credentials", "name the receiver's own host")
        }
        guard parts.user == nil, parts.password == nil else {
            throw invalid("carries a user name or password", "let the receiver verify the signature instead")
        }
        guard parts.fragment == nil else { throw invalid("has a fragment", "leave out the part from # on") }
    }

    package static func check(types: [String]?) throws(InvalidValue) {
        guard let types else { return }
        guard !types.isEmpty else {
            throw InvalidValue(
                item: "webhook types", problem: "are an empty list", repair: "leave them out for the usual ones")
        }
        for type in types where type != "*" && !Events.types.contains(type) {
            throw InvalidValue(
                item: "webhook type \(type.prefix(64))", problem: "does not exist",
                repair: "use * or some of \(Events.types.joined(separator: ", "))")
        }
    }
}
