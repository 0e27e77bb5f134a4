import Vault

/// A place in a list, opaque to callers.
enum Cursor {
    static func text(_ id: Int64) -> String { Encoding.base64url(Array("c1:\(id)".utf8)) }

    static func parse(_ text: String?) throws(HTTPProblem) -> Int64? {
        guard let text, !text.isEmpty else { return nil }
        guard let bytes = Encoding.bytes(base64url: text) else { throw malformed }
        let plain = String(decoding: bytes, as: UTF8.self)
        guard plain.hasPrefix("c1:"), let id = Int64(plain.dropFirst(3)), id >= 0 else { throw malformed }
        return id
    }

    private static let malformed = HTTPProblem.invalid("cursor", "is not one that a list answered")
}
