import Foundation

/// How an import is written.
package enum ImportFormat: String, Sendable, CaseIterable {
    /// One JSON object a line.
    case ndjson
    /// RFC 4180, with a line of headings; quoted fields may span lines.
    case csv
}

/// One row of a file, before anything is known of it.
package struct ImportRecord: Sendable {
    /// From 1; of a row of several lines the first.
    package let line: Int
    /// By column. Holds secrets: never logged, never shown.
    package let cells: [String: ImportCell]
    /// What makes the row unreadable.
    package let fault: ImportFault?
}

/// A value of a row.
package enum ImportCell: Sendable {
    case text(String)
    case list([String])
    /// A JSON object, and its members where all of them are texts.
    case object([UInt8], texts: [String: String]?)
    /// Of no type that a column takes.
    case other
}

/// What is wrong with a row, without its values: they may be secrets.
package struct ImportFault: Sendable, Hashable, Codable {
    /// Empty: the row as a whole.
    package let column: String
    package let problem: String
    package let repair: String

    package init(_ column: String, _ problem: String, _ repair: String) {
        self.column = column
        self.problem = problem
        self.repair = repair
    }
}

/// Cuts a stream of bytes into rows, in bounded memory.
package struct ImportReader: Sendable {
    /// Longest row, in bytes. A longer one is told as bad; the rows after it are read on.
    package static let longestRow = 128 * 1024
    private static let mostColumns = 200

    private let format: ImportFormat
    private var row: [UInt8] = []
    private var isTooLong = false
    private var isQuoted = false
    /// The line that is being read, and the one its row began on.
    private var line = 1
    private var firstLine = 1
    private var headings: [String]?

    package init(_ format: ImportFormat) { self.format = format }

    /// The rows that `bytes` complete.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> [ImportRecord] {
        var records: [ImportRecord] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if format == .csv, isQuoted {
                    keep(byte)
                    line += 1
                    continue
                }
                if let record = take() { records.append(record) }
                line += 1
                firstLine = line
                continue
            }
            // Two quotes inside a quoted field switch twice, which is right.
            if format == .csv, byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            keep(byte)
        }
        return records
    }

    /// The last row, where the file does not end in a line feed.
    package mutating func finish() -> ImportRecord? {
        if isQuoted {
            isQuoted = false
            row = []
            return bad("", "has a quoted field that never ends", "close the quote")
        }
        return take()
    }

    private mutating func keep(_ byte: UInt8) {
        if row.count < Self.longestRow { row.append(byte) } else { isTooLong = true }
    }

    private mutating func take() -> ImportRecord? {
        defer {
            row.removeAll(keepingCapacity: true)
            isTooLong = false
        }
        if row.last == UInt8(ascii: "\r") { row.removeLast() }
        if firstLine == 1, row.starts(with: [0xEF, 0xBB, 0xBF]) { row.removeFirst(3) }
        if isTooLong { return bad("", "is longer than \(Self.longestRow) bytes", "shorten its metadata") }
        guard row.contains(where: { $0 != 0x20 && $0 != 0x09 }) else { return nil }
        guard let text = String(validating: row, as: UTF8.self), !row.contains(0) else {
            return bad("", "is not UTF-8 text, or holds a NUL", "save the file as UTF-8")
        }
        return format == .ndjson ? object(text) : fields(text)
    }

    private func bad(_ column: String, _ problem: String, _ repair: String) -> ImportRecord {
        ImportRecord(line: firstLine, cells: [:], fault: ImportFault(column, problem, repair))
    }

    // MARK: NDJSON

    private func object(_ text: String) -> ImportRecord {
        guard let value = try? JSONSerialization.jsonObject(with: Data(text.utf8)),
            let members = value as? [String: Any]
        else { return bad("", "is not a JSON object", "write one object on each line") }
        var cells: [String: ImportCell] = [:]
        for (name, value) in members where !(value is NSNull) { cells[name] = Self.cell(value) }
        return ImportRecord(line: firstLine, cells: cells, fault: nil)
    }

    private static func cell(_ value: Any) -> ImportCell {
        switch value {
        case let text as String: return .text(text)
        case let number as NSNumber: return .text(number.stringValue)
        case let list as [Any]:
            let texts = list.compactMap { $0 as? String }
            return texts.count == list.count ? .list(texts) : .other
        case let object as [String: Any]:
            guard let bytes = try? JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]) else {
                return .other
            }
            let texts = object.compactMapValues { $0 as? String }
            return .object(Array(bytes), texts: texts.count == object.count ? texts : nil)
        default: return .other
        }
    }

    // MARK: CSV

    /// The first row gives the headings.
    private mutating func fields(_ text: String) -> ImportRecord? {
        guard let values = Self.split(text) else {
            return bad("", "has a quote inside an unquoted field", "quote the whole field and double its quotes")
        }
        guard let headings else {
            headings = values.map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
            if values.count > Self.mostColumns || Set(headings ?? []).count != values.count {
                return bad("", "is no line of headings: too many, or one twice", "name each column once")
            }
            return nil
        }
        guard values.count == headings.count else {
            return bad("", "has \(values.count) fields, not \(headings.count)", "quote fields that hold a comma")
        }
        var cells: [String: ImportCell] = [:]
        for (name, value) in zip(headings, values) where !value.isEmpty { cells[name] = .text(value) }
        return ImportRecord(line: firstLine, cells: cells, fault: nil)
    }

    /// The fields of a row (RFC 4180 §2); nil when a quote stands where none may.
    private static func split(_ text: String) -> [String]? {
        var fields: [String] = []
        var field: [UInt8] = []
        var isQuoted = false
        var wasQuoted = false
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\"") where isQuoted:
                if rest.first == byte {
                    field.append(byte)
                    rest.removeFirst()
                } else {
                    isQuoted = false
                    wasQuoted = true
                }
            case UInt8(ascii: "\""):
                guard field.isEmpty, !wasQuoted else { return nil }
                isQuoted = true
            case UInt8(ascii: ",") where !isQuoted:
                fields.append(String(decoding: field, as: UTF8.self))
                field = []
                wasQuoted = false
            default:
                if wasQuoted { return nil }
                field.append(byte)
            }
        }
        return fields + [String(decoding: field, as: UTF8.self)]
    }
}
