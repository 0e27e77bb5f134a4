/// JSON written by hand: the token endpoint is measured in thousands a second.
enum JSONText {
    /// `text` as a JSON string, quotes included.
    static func quoted(_ text: String) -> String {
        var result = "\""
        append(text, to: &result)
        result += "\""
        return result
    }

    /// The characters of a JSON string for `text` (RFC 8259 §7).
    static func append(_ text: String, to result: inout String) {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else {
            result += text
            return
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    /// `{"error":…,"error_description":…}`.
    static func error(_ code: String, _ description: String? = nil) -> String {
        var text = "{\"error\":" + quoted(code)
        if let description { text += ",\"error_description\":" + quoted(description) }
        return text + "}"
    }
}
