import Catalog
import Egress
import HTTPTypes

/// Which header fields go up to a provider and come down from it.
enum HeaderPolicy {
    /// Request fields that go up, besides `accept-…`, `content-…` and `if-…`.
    private static let up: Set<String> = [
        "accept", "user-agent", "range", "idempotency-key", "x-idempotency-key", "prefer",
    ]

    /// Written by Egress, or meaningless for the next hop.
    private static let framing: Set<String> = ["content-length"]

    /// Fields that never come down: cookies and CORS of another origin, hop-by-hop (RFC 9110 §7.6.1), and what would
    /// speak for our own host.
    private static let neverDown: Set<String> = [
        "set-cookie", "set-cookie2", "connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "strict-transport-security",
        "public-key-pins", "alt-svc", "expect-ct", "content-security-policy", "clear-site-data", "date", "server",
        "x-request-id", "evergrant-error", "evergrant-refreshed",
    ]

    /// - Parameters:
    ///   - integration: its own further fields, and its credential's, which never come from a caller.
    ///   - fixed: fields the integration sends with every call unless the caller sets them.
    static func up(
        _ fields: HTTPFields, integration: Integration, fixed: [(name: String, value: String)],
        credential: [(name: String, value: String)]
    ) -> [(name: String, value: String)] {
        let reserved = Set(integration.placement.headerNames + ["authorization", "cookie", "host"])
        var headers: [(name: String, value: String)] = []
        for field in fields {
            let name = field.name.canonicalName
            guard !reserved.contains(name), !framing.contains(name), !name.hasPrefix("evergrant-"),
                !name.hasPrefix("x-pica-"),
                up.contains(name) || name.hasPrefix("accept-") || name.hasPrefix("content-") || name.hasPrefix("if-")
                    || integration.passthroughHeaders.contains(name)
            else { continue }
            headers.append((field.name.rawName, field.value))
        }
        for field in fixed where !headers.contains(where: { $0.name.lowercased() == field.name.lowercased() }) {
            headers.append(field)
        }
        return headers + credential
    }

    /// - Parameter secrets: texts that must not come down in a `Location` (a credential placed in the query).
    static func down(_ headers: EgressHeaders, without secrets: [String]) -> HTTPFields {
        let named = Set(
            headers.values("connection").flatMap { $0.split(separator: ",") }
                .map { $0.trimmingPrefix(while: \.isWhitespace).lowercased() })
        var fields = HTTPFields()
        for (name, value) in headers {
            let plain = name.lowercased()
            guard !neverDown.contains(plain), !plain.hasPrefix("access-control-"), !named.contains(plain),
                let field = HTTPField.Name(name)
            else { continue }
            if secrets.contains(where: { !$0.isEmpty && value.contains($0) }) { continue }
            fields.append(HTTPField(name: field, value: value))
        }
        // The answer is the provider's, on our origin: no browser may run it or guess its type.
        fields[.xContentTypeOptions] = "nosniff"
        fields[.contentSecurityPolicy] = "default-src 'none'; sandbox"
        return fields
    }
}
