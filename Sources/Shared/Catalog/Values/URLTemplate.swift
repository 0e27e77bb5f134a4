import Credentials
import Foundation

/// A URL of the catalog with typed places: `https://{domain}/services/oauth2/token`.
///
/// A place in the host takes a `label` or `enum` (one whole label, under a fixed suffix), or is the whole host (`host`,
/// `operator_host`, `enum`); a place at the very beginning takes a `base_url`; places in path and query take `label`,
/// `enum` and `segment`. Everything else is refused when the catalog is loaded.
package struct URLTemplate: Sendable, Hashable, CustomStringConvertible {
    /// A name that may stand in a template: its type, and the value to use when none is given.
    struct Name: Sendable, Hashable {
        let name: String
        let kind: ValueKind
        let defaultValue: String?
    }

    enum Piece: Sendable, Hashable {
        case literal(String)
        case name(Name)
    }

    package let text: String
    let scheme: String?
    let authority: [Piece]
    let rest: [Piece]

    package var description: String { text }

    /// Names of the values it takes, in order of appearance.
    package var names: [String] {
        (authority + rest).compactMap { if case .name(let name) = $0 { name.name } else { nil } }
    }

    /// Whether a user or a provider's answer has a say in the host, so that only public addresses may be called,
    /// whatever networks the operator opened.
    package var hostIsOutside: Bool {
        authority.contains { piece in
            guard case .name(let name) = piece else { return false }
            switch name.kind {
            case .label, .host, .baseURL, .segment, .text: return true
            case .options, .operatorHost: return false
            }
        }
    }

    /// Fills in `values`, after checking each by its type, then parses the result again and compares scheme, host and
    /// port with what the template allows (`design: hosts that a user types receive the operator's client secret`).
    /// - Throws: ``InvalidValue`` naming the value that is missing or refused; values themselves are not repeated.
    package func resolve(_ values: [String: String]) throws(InvalidValue) -> String {
        let host = try Self.fill(authority, values)
        let tail = try Self.fill(rest, values)
        let url = (scheme.map { "\($0)://" } ?? "") + host + tail
        // A base from an answer is a whole URL; its own check has already compared its host.
        let expected = scheme == nil ? String(host.dropFirst("https://".count).prefix { $0 != "/" }) : host
        let mismatch = InvalidValue(
            item: text, problem: "does not read back as the URL it was built from", repair: "check the values given")
        guard Self.isPlainPath(String(tail.prefix { $0 != "?" })) else { throw mismatch }
        guard let parsed = URLComponents(string: url), parsed.scheme == scheme ?? "https", parsed.user == nil,
            parsed.password == nil, parsed.fragment == nil, let parsedHost = parsed.host
        else { throw mismatch }
        guard parsedHost + (parsed.port.map { ":\($0)" } ?? "") == expected else { throw mismatch }
        return url
    }

    private static func fill(_ pieces: [Piece], _ values: [String: String]) throws(InvalidValue) -> String {
        var result = ""
        for piece in pieces {
            switch piece {
            case .literal(let text): result += text
            case .name(let name):
                guard let value = values[name.name] ?? name.defaultValue else {
                    throw InvalidValue(
                        item: name.name, problem: "is missing", repair: "give the connection or its OAuth app a value")
                }
                result += try name.kind.check(value, item: name.name)
            }
        }
        return result
    }

    /// Whether `path` is empty or begins with a slash and holds only unreserved and harmless characters and no dot
    /// segments, encoded or not.
    static func isPlainPath(_ path: String) -> Bool {
        if path.isEmpty { return true }
        guard path.hasPrefix("/") else { return false }
        let allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@$!,;=()*'+"
        guard path.allSatisfy({ allowed.contains($0) }), !path.hasPrefix("//") else { return false }
        return !path.split(separator: "/").contains { $0 == "." || $0 == ".." }
    }
}
