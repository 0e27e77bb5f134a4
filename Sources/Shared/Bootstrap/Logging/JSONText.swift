import Logging

/// Writes one JSON object by hand: a log line must not fail, and strings are all it holds.
struct JSONText {
    private(set) var text = ""
    private var isFirst = true

    mutating func open() { text.append("{") }
    mutating func close() { text.append("}") }

    mutating func add(_ key: String, _ value: String) {
        name(key)
        quote(value)
    }

    mutating func add(_ key: String, _ value: Logger.MetadataValue) {
        name(key)
        write(value)
    }

    private mutating func name(_ key: String) {
        if !isFirst { text.append(",") }
        isFirst = false
        quote(key)
        text.append(":")
    }

    private mutating func write(_ value: Logger.MetadataValue) {
        switch value {
        case .string(let string): quote(string)
        case .stringConvertible(let convertible): quote(convertible.description)
        case .array(let values):
            text.append("[")
            for (index, value) in values.enumerated() {
                if index > 0 { text.append(",") }
                write(value)
            }
            text.append("]")
        case .dictionary(let values):
            text.append("{")
            for (index, (key, value)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { text.append(",") }
                quote(key)
                text.append(":")
                write(value)
            }
            text.append("}")
        }
    }

    /// Escapes as RFC 8259 §7 asks; control characters as `\u00XX`.
    private mutating func quote(_ string: String) {
        text.append("\"")
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text.append("\\\"")
            case "\\": text.append("\\\\")
            case "\n": text.append("\\n")
            case "\r": text.append("\\r")
            case "\t": text.append("\\t")
            case let control where control.value < 0x20 || control.value == 0x7F:
                let digits = String(control.value, radix: 16)
                text.append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            default: text.unicodeScalars.append(scalar)
            }
        }
        text.append("\"")
    }
}
