import Hummingbird

/// A request's path and query as they came over the wire, undecoded.
struct RequestTarget: Sendable {
    let raw: String
    let path: Substring
    let query: Substring

    init(_ request: Request) {
        raw = request.head.path ?? "/"
        let end = raw.firstIndex(of: "?") ?? raw.endIndex
        path = raw[..<end]
        query = raw[end...].dropFirst()
    }

    /// What stands between the slashes; an empty part stays, so `//token` is not `/token`.
    var parts: [Substring] {
        guard path.first == "/" else { return [path] }
        return path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    }

    var fields: FormFields { FormFields(parsing: query.utf8) }
}
