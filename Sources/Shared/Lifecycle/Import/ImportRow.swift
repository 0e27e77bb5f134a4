import Credentials
import Foundation
import Store
import Vault

/// Reads one row column by column and collects what is wrong with it.
struct ImportRow {
    private var cells: [String: ImportCell]
    private(set) var faults: [ImportFault] = []

    /// Longest token, in bytes.
    private static let longestSecret = 16 * 1024

    /// - Parameter prefixes: `parameter.domain` of CSV is the member `domain` of `parameters`.
    init(_ cells: [String: ImportCell], prefixes: [String: String]) {
        self.cells = [:]
        for (name, cell) in cells {
            guard let prefix = prefixes.keys.first(where: { name.hasPrefix($0) }), let column = prefixes[prefix],
                case .text(let value) = cell
            else {
                self.cells[name] = self.cells[name] ?? cell
                continue
            }
            var members: [String: String] = [:]
            if case .object(_, let texts?) = self.cells[column] { members = texts }
            members[String(name.dropFirst(prefix.count))] = value
            self.cells[column] = .object([], texts: members)
        }
    }

    func has(_ column: String) -> Bool { cells[column] != nil }

    mutating func fault(_ column: String, _ problem: String, _ repair: String) {
        faults.append(ImportFault(column, problem, repair))
    }

    mutating func missing(_ column: String, _ repair: String) {
        // A value of the wrong type was told already.
        if cells[column] == nil { fault(column, "is missing", repair) }
    }

    mutating func refuseUnknown(_ known: [String]) {
        for name in cells.keys.sorted() where !known.contains(name) {
            // A file without headings has a row of values there: only what is too short for a token is shown.
            fault(
                name.wholeMatch(of: /[a-z_]{1,16}/) == nil ? "" : name, "is not a column of an import",
                "use \(known.joined(separator: ", "))")
        }
    }

    mutating func text(_ column: String, atMost limit: Int) -> String? {
        guard let cell = cells[column] else { return nil }
        guard case .text(let text) = cell else {
            fault(column, "is not text", "write a string")
            return nil
        }
        guard text.count <= limit else {
            fault(column, "is longer than \(limit) characters", "shorten it")
            return nil
        }
        return text.isEmpty ? nil : text
    }

    /// A token: visible ASCII, as it stands in a header or a form (RFC 6749 appendix A.12 and A.17).
    mutating func secret(_ column: String) -> Secret? {
        guard let cell = cells[column] else { return nil }
        guard case .text(let text) = cell else {
            fault(column, "is not text", "write a string")
            return nil
        }
        if text.isEmpty { return nil }
        guard text.utf8.count <= Self.longestSecret, text.utf8.allSatisfy({ (0x21..<0x7f).contains($0) }) else {
            fault(
                column, "has characters that no token has, or more than \(Self.longestSecret) of them", "copy it again")
            return nil
        }
        return Secret(text)
    }

    mutating func list(_ column: String, separator: Character) -> [String]? {
        switch cells[column] {
        case nil: return nil
        case .list(let list): return list
        case .text(let text): return text.split(separator: separator).map { $0.trimmingCharacters(in: .whitespaces) }
        case .object, .other:
            fault(column, "is not a list", "write a list of strings, in CSV with \(separator == " " ? "spaces" : ";")")
            return nil
        }
    }

    /// A JSON object, as text.
    mutating func object(_ column: String, atMost limit: Int) -> String? {
        var bytes: [UInt8]
        switch cells[column] {
        case nil: return nil
        case .object(let object, _): bytes = object
        case .text(let text):
            bytes = Array(text.utf8)
            if !((try? JSONSerialization.jsonObject(with: Data(bytes))) is [String: Any]) { bytes = [] }
        case .list, .other: bytes = []
        }
        guard !bytes.isEmpty, bytes.count <= limit else {
            fault(column, "is not a JSON object of at most \(limit) bytes", "write {…}")
            return nil
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An object of texts; a text that is one, in CSV.
    mutating func texts(_ column: String) -> [String: String]? {
        switch cells[column] {
        case nil: return nil
        case .object(_, let texts?): return texts
        case .text(let text):
            if let texts = try? JSONDecoder().decode([String: String].self, from: Data(text.utf8)) { return texts }
        case .object, .list, .other: break
        }
        fault(column, "is not an object of strings", "write {\"name\": \"value\"}")
        return nil
    }

    /// RFC 3339, or seconds or milliseconds since 1970.
    mutating func moment(_ column: String) -> Date? {
        guard let text = text(column, atMost: 40) else { return nil }
        if let number = Double(text), number > 0, number < 1e14 {
            return Date(timeIntervalSince1970: number >= 1e11 ? number / 1000 : number)
        }
        if let date = (try? Date.ISO8601FormatStyle().parse(text))
            ?? (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
        {
            return date
        }
        fault(column, "is no time", "write RFC 3339 (2026-01-31T09:00:00Z) or seconds since 1970")
        return nil
    }
}

extension UUID {
    /// 128 random bits; a version-4 UUID has six fewer.
    static func drawn() -> UUID { UUID(hex: Encoding.hex(SecureRandom.bytes(16))) ?? UUID() }
}
