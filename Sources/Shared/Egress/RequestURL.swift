/// The checks a URL passes before libcurl sees it: narrower than what libcurl reads, so that no spelling means one host to
/// the code that checked it and another to the one that connects.
struct RequestURL {
    /// `scheme://host[:port]` as written.
    let origin: String
    let isSecure: Bool

    /// Throws `badURL`; the message never repeats more than scheme and host.
    init(_ text: String) throws(EgressFailure) {
        let bytes = Array(text.utf8)
        guard bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw EgressFailure(.badURL, "the URL holds a blank, a control character or non-ASCII text; encode it")
        }
        let start: Int
        if EgressHeaders.same(text.prefix(8), "https://") {
            (start, isSecure) = (8, true)
        } else if EgressHeaders.same(text.prefix(7), "http://") {
            (start, isSecure) = (7, false)
        } else {
            throw EgressFailure(.badURL, "the URL begins neither with https:// nor with http://")
        }
        let end = bytes[start...].firstIndex { Self.endsAuthority.contains($0) } ?? bytes.endIndex
        let authority = bytes[start..<end]
        guard !authority.contains(UInt8(ascii: "@")) else {
            throw EgressFailure(.badURL, "the URL holds user information before its host; send credentials in a header")
        }
        guard !bytes.contains(UInt8(ascii: "#")) else {
            throw EgressFailure(.badURL, "the URL holds a fragment, which is never sent")
        }
        let path = bytes[end...].prefix { $0 != UInt8(ascii: "?") }
        guard !path.contains(UInt8(ascii: "\\")) else {
            throw EgressFailure(.badURL, "the URL's path holds a backslash; encode it as %5C")
        }
        guard Self.isHostAndPort(authority) else {
            throw EgressFailure(.badURL, "the URL's host or port is not well formed")
        }
        origin = String(decoding: bytes[..<end], as: UTF8.self)
    }

    private static let endsAuthority: [UInt8] = [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")]

    private static func isHostAndPort(_ authority: ArraySlice<UInt8>) -> Bool {
        var host = authority
        let isLiteral = authority.first == UInt8(ascii: "[")
        let colon: Int?
        if isLiteral {
            guard let close = authority.firstIndex(of: UInt8(ascii: "]")) else { return false }
            host = authority[authority.startIndex + 1..<close]
            let rest = authority[(close + 1)...]
            guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { return false }
            colon = rest.isEmpty ? nil : rest.startIndex
        } else {
            colon = authority.firstIndex(of: UInt8(ascii: ":"))
            host = authority[..<(colon ?? authority.endIndex)]
        }
        if let colon {
            let digits = authority[(colon + 1)...]
            guard (1...5).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
                let port = Int(String(decoding: digits, as: UTF8.self)), (1...65_535).contains(port)
            else { return false }
        }
        return !host.isEmpty && host.count <= 253
            && host.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."): true
                case UInt8(ascii: "-"), UInt8(ascii: "_"): !isLiteral
                case UInt8(ascii: ":"): isLiteral
                default: false
                }
            }
    }
}
