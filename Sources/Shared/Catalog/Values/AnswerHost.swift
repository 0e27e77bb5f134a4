import Credentials
import Foundation

/// The check of a base URL that a provider's answer names (Salesforce's `instance_url`): calls to it carry the access
/// token, so its host must be one that the catalog knows.
package enum AnswerHost {
    /// Returns `url` with a lower-case host and no slash at its end.
    /// - Parameters:
    ///   - suffixes: hosts as in ``ValueKind/host(suffixes:)``.
    ///   - item: how the error names the value.
    /// - Throws: ``InvalidValue`` when it is not https, has user, port, query or fragment, a path with dot segments
    ///   or unusual characters, or a host outside `suffixes`. The caller drops the fact.
    package static func check(_ url: String, suffixes: [String], item: String) throws(InvalidValue) -> String {
        func refuse(_ problem: String) -> InvalidValue {
            InvalidValue(
                item: item, problem: problem,
                repair: "the catalog allows https://… on " + suffixes.joined(separator: ", "))
        }
        guard url.utf8.count <= 512, url.lowercased().hasPrefix("https://") else { throw refuse("is not an https URL") }
        let rest = url.dropFirst("https://".count)
        let authority = rest.prefix { $0 != "/" }
        var path = String(rest.dropFirst(authority.count))
        // Answers may write a host in any case (RFC 3986 §3.2.2); only ASCII is folded, anything else is refused below.
        let host = String(
            String.UnicodeScalarView(
                authority.unicodeScalars.map { ("A"..."Z").contains($0) ? Unicode.Scalar(UInt8($0.value) + 32) : $0 }))
        if let problem = HostName.problem(with: host) { throw refuse("names a host that " + problem) }
        guard suffixes.contains(where: { HostName.matches(host, suffix: $0) }) else {
            throw refuse("names a host outside the catalog")
        }
        while path.hasSuffix("/") { path.removeLast() }
        guard URLTemplate.isPlainPath(path) else { throw refuse("has an unusual path") }
        let result = "https://\(host)\(path)"
        guard let parsed = URLComponents(string: result), parsed.host == host, parsed.port == nil, parsed.user == nil
        else { throw refuse("does not read back as the same URL") }
        return result
    }
}
