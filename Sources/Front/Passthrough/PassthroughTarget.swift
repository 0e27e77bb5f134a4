import Foundation
import HTTPTypes

/// The path and query of a passthrough call, checked so that they cannot leave the integration's API base.
///
/// Dot segments in any encoding, backslashes and `//host` are refused; `%2F` inside a segment stays as it was sent.
/// Decoding is repeated until nothing changes, because some servers decode twice.
struct PassthroughTarget: Sendable, Hashable {
    /// Begins with `/`, as sent.
    let path: String
    /// Without `?`, as sent.
    let query: String?

    /// - Parameter raw: the request target after `/v1/passthrough`.
    init(_ raw: Substring) throws(HTTPProblem) {
        guard raw.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "#") })
        else { throw Self.refused("holds a space, a backslash, a # or a character that is not ASCII") }
        let halves = raw.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = halves[0].isEmpty ? "/" : String(halves[0])
        guard path.hasPrefix("/") else { throw Self.refused("does not begin with /") }
        try Self.check(Array(path.utf8))
        self.path = path
        query = halves.count == 2 ? String(halves[1]) : nil
    }

    private static func check(_ sent: [UInt8]) throws(HTTPProblem) {
        var bytes = sent
        for _ in 0..<8 {
            try checkSegments(bytes)
            guard let decoded = decode(bytes) else { throw refused("has a % that is not followed by two hex digits") }
            if decoded == bytes { return }
            bytes = decoded
            // What stands encoded twice need not be valid a second time: "100%25" is "100%".
            if decode(bytes) == nil { return try checkSegments(bytes) }
        }
        throw refused("is encoded too many times over")
    }

    private static func checkSegments(_ bytes: [UInt8]) throws(HTTPProblem) {
        guard !bytes.starts(with: Array("//".utf8)) else { throw refused("begins with //, which names a host") }
        guard !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "\\") }) else {
            throw refused("holds a backslash or a control character")
        }
        for segment in bytes.split(separator: UInt8(ascii: "/")) {
            // "..;x" is a dot segment to servers with path parameters.
            let name = segment.prefix { $0 != UInt8(ascii: ";") }
            if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) {
                throw refused("holds a dot segment")
            }
        }
    }

    /// nil for a malformed escape.
    private static func decode(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.contains(UInt8(ascii: "%")) else { return bytes }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                decoded.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(nibble), let low = rest.popFirst().flatMap(nibble) else {
                return nil
            }
            decoded.append(high << 4 | low)
        }
        return decoded
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        Character(UnicodeScalar(digit)).hexDigitValue.map(UInt8.init)
    }

    private static func refused(_ problem: String) -> HTTPProblem {
        HTTPProblem(
            .badRequest, "path_refused", "The passthrough path \(problem).",
            hint: "send the provider's own path after /v1/passthrough, percent-encoded once")
    }
}

extension PassthroughTarget {
    /// The URL to call: `base`, the path, the caller's query without names that carry credentials, then the
    /// credential's own. Parsed again, and its origin and base path compared, before anyone sends it.
    func url(
        base: String, withoutQuery names: [String], adding credential: [(name: String, value: String)]
    ) throws(HTTPProblem) -> String {
        var pairs = (query ?? "").split(separator: "&", omittingEmptySubsequences: false).filter { pair in
            let name = pair.prefix { $0 != "=" }
            let plain = FormText.decode(name) ?? String(name)
            return !names.contains { $0.caseInsensitiveCompare(plain) == .orderedSame }
        }.map(String.init)
        if query?.isEmpty ?? true { pairs = [] }
        pairs += credential.map { "\(Self.encode($0.name))=\(Self.encode($0.value))" }
        let query = pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
        let url = base + path + query
        guard let built = URLComponents(string: url, encodingInvalidCharacters: true),
            let allowed = URLComponents(string: base, encodingInvalidCharacters: false), built.scheme == allowed.scheme,
            built.encodedHost == allowed.encodedHost, built.port == allowed.port, built.user == nil,
            built.password == nil, built.fragment == nil,
            built.percentEncodedPath.hasPrefix(allowed.percentEncodedPath + "/")
        else { throw Self.refused("leads away from the integration's API") }
        return url
    }

    private static func encode(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.unicodeScalars.append(UnicodeScalar(byte))
            default: encoded += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return encoded
    }
}
