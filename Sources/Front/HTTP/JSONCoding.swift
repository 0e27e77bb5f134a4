import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// JSON in and out: RFC 3339 times with milliseconds, strict about names.
enum JSONCoding {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
        }
        return Array(try encoder.encode(value))
    }

    /// Decodes a body and refuses names it does not know, so that a misspelt option is not silently ignored.
    static func decode<Body: RequestFields>(_ type: Body.Type, from bytes: ByteBuffer) throws(HTTPProblem) -> Body {
        let data = Data(bytes.readableBytesView.isEmpty ? ArraySlice("{}".utf8) : ArraySlice(bytes.readableBytesView))
        let object: Any
        do { object = try JSONSerialization.jsonObject(with: data) } catch {
            throw HTTPProblem(
                .badRequest, "invalid_json", "The body is not JSON.",
                hint: "send a JSON object, Content-Type: application/json")
        }
        guard let object = object as? [String: Any] else {
            throw HTTPProblem(.badRequest, "invalid_json", "The body is not a JSON object.", hint: "send {…}")
        }
        let known = Set(Body.fields)
        let unknown = object.keys.filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw .invalid(
                unknown.map {
                    HTTPProblem.Fault(
                        field: String($0.prefix(80)),
                        problem: "is not a field of this call; it takes \(Body.fields.joined(separator: ", "))")
                })
        }
        do {
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .iso8601
            return try decoder.decode(type, from: data)
        } catch let error as DecodingError {
            throw .invalid([error.fault])
        } catch {
            throw HTTPProblem(.badRequest, "invalid_json", "The body could not be read.")
        }
    }
}

/// A request body with a closed list of fields.
protocol RequestFields: Decodable {
    static var fields: [String] { get }
}

/// Any JSON object, kept as it is: metadata.
struct JSONObject: Decodable, Sendable {
    /// UTF-8 JSON.
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let values = try decoder.singleValueContainer().decode([String: JSONValue].self)
        bytes = Array(try JSONEncoder().encode(values))
    }
}

/// Any JSON value.
indirect enum JSONValue: Codable, Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension DecodingError {
    /// The place and the problem, without the value: it may be a secret.
    fileprivate var fault: HTTPProblem.Fault {
        func place(_ path: [any CodingKey], _ last: (any CodingKey)? = nil) -> String {
            let names = (path + (last.map { [$0] } ?? [])).map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
            return names.isEmpty ? "body" : names.joined(separator: ".").replacing(".[", with: "[")
        }
        switch self {
        case .keyNotFound(let key, let context):
            return HTTPProblem.Fault(field: place(context.codingPath, key), problem: "is missing")
        case .typeMismatch(let type, let context):
            return HTTPProblem.Fault(field: place(context.codingPath), problem: "is not \(Self.word(type))")
        case .valueNotFound(let type, let context):
            return HTTPProblem.Fault(field: place(context.codingPath), problem: "is null, not \(Self.word(type))")
        case .dataCorrupted(let context):
            return HTTPProblem.Fault(field: place(context.codingPath), problem: "has no valid value")
        @unknown default: return HTTPProblem.Fault(field: "body", problem: "could not be read")
        }
    }

    private static func word(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is Int.Type, is Int64.Type, is Double.Type: "a number"
        case is [Any].Type: "a list"
        default: "\(type)".hasPrefix("Array") ? "a list" : "an object"
        }
    }
}
