/// A request that has been looked at: everything that must be refused before a byte is sent has been refused.
struct RequestPlan: Sendable {
    let request: EgressRequest
    /// `scheme://host[:port]`, all that failure messages may tell of the URL.
    let origin: String
    let isSecure: Bool
    /// It may share an HTTP/2 connection with others (always true for plain http, which has none).
    ///
    /// A server retires an HTTP/2 connection (GOAWAY; nginx after 1000 requests) under the requests that are on their way on
    /// it. libcurl 7.88 takes that for a dead connection, and what must not be sent twice would end as ambiguous: of 64 POSTs
    /// in flight some ten each time. Over HTTP/1.1 a request has its connection to itself and is answered before the end.
    let sharesConnection: Bool
    /// Header lines in libcurl's own notation: `Name: value`, `Name;` for an empty value, `Name:` to leave its default out.
    let headerLines: [String]

    init(_ request: EgressRequest, userAgent: String) throws(EgressFailure) {
        let url = try RequestURL(request.url)
        guard url.isSecure || request.allowsPlainHTTP || request.policy.staysOnMachine else {
            throw EgressFailure(.badURL, "\(url.origin) is plain http, which this request does not allow")
        }
        self.request = request
        origin = url.origin
        isSecure = url.isSecure
        sharesConnection = !url.isSecure || request.isIdempotent
        headerLines = try Self.headerLines(request, userAgent: userAgent, origin: url.origin)
    }

    private static func headerLines(
        _ request: EgressRequest, userAgent: String, origin: String
    ) throws(EgressFailure) -> [String] {
        guard isToken(request.method), request.method != "CONNECT" else {
            throw EgressFailure(.badRequest, "the method for \(origin) is no HTTP method that can be sent")
        }
        if request.method == "HEAD", request.body.length != 0 {
            throw EgressFailure(.badRequest, "HEAD \(origin) can't have a body")
        }
        var lines: [String] = []
        lines.reserveCapacity(request.headers.count + 4)
        var hasAgent = false
        var hasAccept = false
        var hasType = false
        for (name, value) in request.headers {
            guard isToken(name) else {
                throw EgressFailure(.badRequest, "a header name for \(origin) is no token (RFC 9110 §5.1)")
            }
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
                throw EgressFailure(.badRequest, "the value of header \(name) for \(origin) holds a control character")
            }
            if framing.contains(where: { EgressHeaders.same($0, name) }) {
                throw EgressFailure(.badRequest, "header \(name) for \(origin) belongs to the connection; leave it out")
            }
            if EgressHeaders.same("content-length", name) {
                if let length = request.body.length, value == String(length) { continue }
                throw EgressFailure(.badRequest, "header Content-Length for \(origin) differs from the body's length")
            }
            hasAgent = hasAgent || EgressHeaders.same("user-agent", name)
            hasAccept = hasAccept || EgressHeaders.same("accept", name)
            hasType = hasType || EgressHeaders.same("content-type", name)
            // A value of blanks alone would take libcurl's notation for "leave out".
            lines.append(value.utf8.allSatisfy { $0 == 0x20 || $0 == 0x09 } ? name + ";" : name + ": " + value)
        }
        if !hasAgent { lines.append("User-Agent: " + userAgent) }
        if !hasAccept { lines.append("Accept:") }
        if !hasType { lines.append("Content-Type:") }
        // libcurl would hold back long bodies for a 100 (Continue) that many servers never send.
        lines.append("Expect:")
        return lines
    }

    private static let framing = [
        "host", "connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "te", "trailer",
        "expect", "http2-settings",
    ]

    /// RFC 9110 §5.6.2.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
                    UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
                    UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
                    true
                default: false
                }
            }
    }
}

extension EgressBody {
    /// In bytes; nil when only the end of the source will tell.
    var length: Int? {
        switch self {
        case .none: 0
        case .bytes(let bytes): bytes.count
        case .stream(_, let length): length
        }
    }
}
