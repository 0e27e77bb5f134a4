import Foundation
import Hummingbird

/// Reads a query by name, refuses unknown names and repeats.
struct QueryReader {
    private var values: [String: String] = [:]

    init(_ request: Request, allowing names: Set<String>) throws(HTTPProblem) {
        for pair in (request.uri.query ?? "").split(separator: "&") {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = FormText.decode(halves[0]), let value = FormText.decode(halves.count == 2 ? halves[1] : "")
            else { throw .invalid("query", "is not percent-encoded UTF-8") }
            guard names.contains(name) else {
                throw .invalid(
                    String(name.prefix(80)),
                    "is not a filter here; this call takes \(names.sorted().joined(separator: ", "))")
            }
            guard values.updateValue(value, forKey: name) == nil else { throw .invalid(name, "appears twice") }
        }
    }

    subscript(_ name: String) -> String? { values[name] }

    func integer(_ name: String, _ range: ClosedRange<Int>, default standard: Int) throws(HTTPProblem) -> Int {
        guard let text = values[name] else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw .invalid(name, "is not a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A time in RFC 3339, with or without fractions of a second.
    func time(_ name: String) throws(HTTPProblem) -> Date? {
        guard let text = values[name] else { return nil }
        let styles = [
            Date.ISO8601FormatStyle(includingFractionalSeconds: false),
            Date.ISO8601FormatStyle(includingFractionalSeconds: true),
        ]
        for style in styles { if let date = try? style.parse(text) { return date } }
        throw .invalid(name, "is not a time such as 2026-01-31T09:05:07Z")
    }

    func word<Word: RawRepresentable & CaseIterable>(_ name: String, _ type: Word.Type) throws(HTTPProblem) -> Word?
    where Word.RawValue == String {
        guard let text = values[name] else { return nil }
        guard let word = Word(rawValue: text) else {
            throw .invalid(name, "is not one of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return word
    }
}

/// `application/x-www-form-urlencoded` text (WHATWG URL, §5.1).
enum FormText {
    /// nil when `text` is not percent-encoded UTF-8.
    static func decode(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst(), let low = rest.popFirst(),
                    let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16),
                    high != UInt8(ascii: "+")
                else { return nil }
                bytes.append(value)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Fields of a form; the last of a repeated name counts.
    static func fields(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decode(halves[0]), let value = decode(halves.count == 2 ? halves[1] : "") else { continue }
            fields[name] = value
        }
        return fields
    }
}
