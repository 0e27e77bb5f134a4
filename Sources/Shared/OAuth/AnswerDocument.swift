import Egress
import Foundation

/// What the body of an answer is.
enum AnswerDocument: Sendable {
    /// JSON, or a form-encoded answer as an object of texts.
    case fields(JSONValue)
    case text(String)
    /// A page for people: it comes from a proxy or an outage, whatever its status.
    case html
    case empty
    /// JSON that does not parse: cut or broken.
    case broken

    init(_ response: EgressResponse) {
        var body = response.body[...]
        if body.starts(with: [0xef, 0xbb, 0xbf]) { body = body.dropFirst(3) }
        while let first = body.first, [0x20, 0x09, 0x0a, 0x0d].contains(first) { body = body.dropFirst() }
        let type = response.headers["content-type"]?.lowercased() ?? ""
        switch body.first {
        case nil: self = .empty
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let value = try? JSONDecoder().decode(JSONValue.self, from: Data(body))
            self = value.map { .fields($0) } ?? .broken
        case UInt8(ascii: "<"): self = .html
        default:
            let text = String(decoding: body, as: UTF8.self)
            if type.hasPrefix("application/x-www-form-urlencoded") || Self.looksFormEncoded(text) {
                let pairs = FormEncoding.decode(text).map { ($0.name, JSONValue.text($0.value)) }
                self = .fields(.object(Dictionary(pairs, uniquingKeysWith: { first, _ in first })))
            } else if type.contains("json"), let value = try? JSONDecoder().decode(JSONValue.self, from: Data(body)) {
                self = .fields(value)
            } else {
                self = type.contains("html") ? .html : .text(text)
            }
        }
    }

    var fields: JSONValue? { if case .fields(let value) = self { value } else { nil } }

    /// GitHub and old Facebook answer so under any content type.
    private static func looksFormEncoded(_ text: String) -> Bool {
        guard text.hasPrefix("access_token=") || text.hasPrefix("error=") else { return false }
        return !text.contains(where: \.isWhitespace)
    }
}
