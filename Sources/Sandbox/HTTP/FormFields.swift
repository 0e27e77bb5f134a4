/// Names and values of `application/x-www-form-urlencoded`, from a query or a body.
struct FormFields: Sendable {
    private var pairs: [(name: String, value: String)] = []

    init() {}

    init(parsing text: some Collection<UInt8>) {
        for part in text.split(separator: UInt8(ascii: "&")) {
            if let equals = part.firstIndex(of: UInt8(ascii: "=")) {
                pairs.append(
                    (
                        PercentText.decodeForm(part[..<equals]),
                        PercentText.decodeForm(part[part.index(after: equals)...])
                    ))
            } else {
                pairs.append((PercentText.decodeForm(part), ""))
            }
        }
    }

    /// The value; nil when absent, and when empty, as RFC 6749 §3.1 has it.
    subscript(name: String) -> String? {
        guard let value = pairs.first(where: { $0.name == name })?.value, !value.isEmpty else { return nil }
        return value
    }

    /// A name that occurs twice, which RFC 6749 §3.1 forbids; nil when there is none.
    var repeatedName: String? {
        for (index, pair) in pairs.enumerated() where pairs[..<index].contains(where: { $0.name == pair.name }) {
            return pair.name
        }
        return nil
    }

    /// These fields, and of `others` those with names that are not here.
    func adding(_ others: FormFields) -> FormFields {
        var sum = self
        sum.pairs += others.pairs.filter { other in !pairs.contains { $0.name == other.name } }
        return sum
    }
}

/// Percent-encoding.
enum PercentText {
    /// Decodes a form value: `+` is a space, a `%` without two digits stays as it is, broken UTF-8 is repaired.
    static func decodeForm(_ bytes: some Collection<UInt8>) -> String {
        var plain: [UInt8] = []
        plain.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index != bytes.endIndex {
            let byte = bytes[index]
            index = bytes.index(after: index)
            if byte == UInt8(ascii: "+") {
                plain.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%"),
                let second = bytes.index(index, offsetBy: 2, limitedBy: bytes.endIndex),
                let value = UInt8(String(decoding: bytes[index..<second], as: UTF8.self), radix: 16),
                bytes[index] != UInt8(ascii: "+"), bytes[index] != UInt8(ascii: "-")
            {
                plain.append(value)
                index = second
            } else {
                plain.append(byte)
            }
        }
        return String(decoding: plain, as: UTF8.self)
    }

    /// Encodes all but RFC 3986's unreserved characters.
    static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.append(byte)
            default:
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }
}
