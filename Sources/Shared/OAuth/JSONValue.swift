import Catalog
import Foundation

/// A parsed answer. Holds secrets in plain text: it lives as long as one call reads it.
package enum JSONValue: Sendable, Equatable, Decodable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let text = try? container.decode(String.self) {
            self = .text(text)
        } else if let integer = try? container.decode(Int64.self) {
            self = .integer(integer)
        } else if let object = try? container.decode([String: JSONValue].self) {
            self = .object(object)
        } else if let list = try? container.decode([JSONValue].self) {
            self = .list(list)
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else {
            self = .number(try container.decode(Double.self))
        }
    }

    /// What stands at `path`, or nil; null counts as nothing.
    package subscript(_ path: AnswerPath) -> JSONValue? {
        var value = self
        for part in path.parts {
            switch value {
            case .object(let members):
                guard let member = members[part] else { return nil }
                value = member
            case .list(let elements):
                guard let index = Int(part), elements.indices.contains(index) else { return nil }
                value = elements[index]
            default: return nil
            }
        }
        return value == .null ? nil : value
    }

    /// The text of a text, number or boolean, as JSON writes it; nil for the rest.
    package var plain: String? {
        switch self {
        case .text(let text): text
        case .integer(let number): String(number)
        case .number(let number): String(number)
        case .bool(let flag): flag ? "true" : "false"
        case .null, .list, .object: nil
        }
    }

    /// A number, or a text that holds one.
    package var seconds: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .number(let number): number
        case .text(let text): Double(text).flatMap { $0.isFinite ? $0 : nil }
        default: nil
        }
    }
}

extension FieldRule {
    /// Whether `document` meets the rule.
    func holds(in document: JSONValue) -> Bool {
        let value = document[path]
        switch test {
        case .present:
            switch value {
            case nil, .bool(false), .text(""): return false
            case .list(let elements): return !elements.isEmpty
            case .object(let members): return !members.isEmpty
            default: return true
            }
        case .equals(let values): return value?.plain.map(values.contains) ?? false
        case .differs(let values): return value?.plain.map { !values.contains($0) } ?? false
        }
    }
}
