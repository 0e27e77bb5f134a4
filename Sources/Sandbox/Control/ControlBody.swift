import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// A control call that cannot be done: a status and a sentence.
struct ControlRefusal: Error, Sendable {
    let status: Int
    let message: String

    static func malformed(_ message: String) -> ControlRefusal { ControlRefusal(status: 400, message: message) }
    static func missing(_ what: String) -> ControlRefusal {
        ControlRefusal(status: 404, message: "\(what) is not here")
    }
}

/// The JSON object of a control call, read member by member; members that nobody read are faults.
struct ControlBody {
    private let members: [String: JSONValue]
    private var read: Set<String> = []

    /// An empty body is an empty object.
    init(_ request: Request) async throws(ControlRefusal) {
        guard let buffer = try? await request.body.collect(upTo: 16 << 20) else {
            throw .malformed("the body is cut, or over 16 MiB")
        }
        guard buffer.readableBytes > 0 else {
            members = [:]
            return
        }
        guard
            let value = try? JSONDecoder().decode(JSONValue.self, from: Data(buffer.readableBytesView)),
            case .object(let members) = value
        else { throw .malformed("the body is not a JSON object") }
        self.members = members
    }

    /// The member, or nil when it is absent or null.
    mutating func value(_ name: String) -> JSONValue? {
        read.insert(name)
        return members[name] == .null ? nil : members[name]
    }

    mutating func text(_ name: String) throws(ControlRefusal) -> String? {
        guard let value = value(name) else { return nil }
        guard case .text(let text) = value else { throw .malformed("`\(name)` must be a text") }
        return text
    }

    mutating func number(_ name: String, in range: ClosedRange<Double>) throws(ControlRefusal) -> Double? {
        guard let value = value(name) else { return nil }
        guard case .number(let number) = value, range.contains(number) else {
            throw .malformed("`\(name)` must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    mutating func count(_ name: String, in range: ClosedRange<Int>) throws(ControlRefusal) -> Int? {
        guard let value = value(name) else { return nil }
        guard case .number(let number) = value, let whole = Int(exactly: number), range.contains(whole) else {
            throw .malformed("`\(name)` must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return whole
    }

    mutating func flag(_ name: String) throws(ControlRefusal) -> Bool? {
        guard let value = value(name) else { return nil }
        guard case .bool(let flag) = value else { throw .malformed("`\(name)` must be true or false") }
        return flag
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ type: Choice.Type
    ) throws(ControlRefusal) -> Choice? where Choice.RawValue == String {
        guard let text = try text(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw .malformed(
                "`\(name)` is \(text.debugDescription); use one of "
                    + Choice.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    mutating func texts(_ name: String) throws(ControlRefusal) -> [String]? {
        guard let value = value(name) else { return nil }
        guard case .list(let list) = value else { throw .malformed("`\(name)` must be a list of texts") }
        var texts: [String] = []
        for item in list {
            guard case .text(let text) = item else { throw .malformed("`\(name)` must be a list of texts") }
            texts.append(text)
        }
        return texts
    }

    /// Every call ends its reading with this.
    func finish() throws(ControlRefusal) {
        let unknown = members.keys.filter { !read.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw .malformed(
                "unknown member " + unknown.map { "`\($0)`" }.joined(separator: ", ") + "; this call knows "
                    + read.sorted().map { "`\($0)`" }.joined(separator: ", "))
        }
    }
}
