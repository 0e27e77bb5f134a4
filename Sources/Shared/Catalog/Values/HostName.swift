/// Host names as a user may type them: lower-case ASCII labels joined by dots, nothing else.
///
/// Stricter than RFC 1123 on purpose: what is typed here receives the operator's client secret, so every form that two
/// URL parsers could read differently is refused instead of repaired.
package enum HostName {
    /// What is wrong with `text` as a host name, or nil. At least two labels are asked for, unless `allowsSingleLabel`.
    static func problem(with text: String, allowsSingleLabel: Bool = false) -> String? {
        if let problem = characterProblem(text) { return problem }
        if text.utf8.count > 253 { return "is longer than 253 characters" }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if text.hasSuffix(".") { return "ends in a dot" }
        if labels.count < 2, !allowsSingleLabel { return "is not a whole host name" }
        for label in labels {
            if let problem = labelProblem(label) { return problem }
        }
        // inet_aton(3) reads "1.2", "0x7f.1" and "2130706433" as addresses: no label at the end may be a number.
        if let last = labels.last, last.first?.isNumber == true { return "is an address, not a host name" }
        return nil
    }

    /// What is wrong with `text` as one DNS label, or nil.
    static func labelProblem(_ text: String) -> String? {
        if text.isEmpty { return "has an empty label" }
        if let problem = characterProblem(text) { return problem }
        if text.utf8.count > 63 { return "has a label longer than 63 characters" }
        if text.utf8.contains(UInt8(ascii: ".")) { return "has a dot; only one label is asked for" }
        if text.hasPrefix("-") || text.hasSuffix("-") { return "has a label that begins or ends with a hyphen" }
        if text.hasPrefix("xn--") { return "is an internationalised name (punycode), which can look like another" }
        return nil
    }

    /// Whether `text` is four decimal numbers of 0–255 without leading zeros.
    static func isIPv4(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                guard let number = UInt8(part) else { return false }
                return String(number) == part
            }
    }

    /// Whether a literal host of the catalog is the machine itself: what a sandbox or a test server may use.
    static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || (isIPv4(host) && host.hasPrefix("127."))
    }

    /// Whether `host` is what `suffix` allows: the host itself, or for a suffix that begins with a dot, anything under it.
    static func matches(_ host: String, suffix: String) -> Bool {
        suffix.hasPrefix(".") ? host.hasSuffix(suffix) && host.utf8.count > suffix.utf8.count : host == suffix
    }

    private static func characterProblem(_ text: String) -> String? {
        if text.isEmpty { return "is empty" }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z", "0"..."9", "-", ".": continue
            case "A"..."Z": return "has upper-case letters"
            case "/", "\\": return "has a slash; only the host name is asked for"
            case "?", "#": return "has a query or fragment; only the host name is asked for"
            case "@": return "has a user name before the host"
            case ":": return "has a port or scheme; only the host name is asked for"
            case "%": return "has percent-encoding"
            case "\0"..."\u{20}", "\u{7f}": return "has spaces or control characters"
            default:
                return scalar.isASCII
                    ? "has the character \(scalar), which no host name has"
                    : "has characters outside ASCII"
            }
        }
        return nil
    }
}
