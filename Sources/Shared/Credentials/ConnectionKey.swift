/// The name under which an app finds a connection: `mode::integration::default::<32 hex>|<identity>`.
///
/// It never changes, not even by reconnecting. The part before `|` is unique and is what lookups use, because an
/// HTTP header cannot carry every identity; spaces and `:` of the identity become `-` in the key only.
package struct ConnectionKey: Sendable, Hashable, CustomStringConvertible {
    package let mode: Mode
    package let integration: String
    /// 32 lower-case hexadecimal digits: 128 random bits.
    package let token: String
    /// The identity with spaces and colons replaced; nil when the key was written without it.
    package let identity: String?

    /// - Parameter token: 32 lower-case hexadecimal digits, drawn at random by the caller.
    package init(mode: Mode, integration: String, token: String, identity: String?) {
        self.mode = mode
        self.integration = integration
        self.token = token
        self.identity = identity.map { String($0.map { $0 == " " || $0 == ":" ? "-" : $0 }) }
    }

    /// Reads a key, with or without its identity.
    /// - Throws: ``InvalidValue`` that says which part is malformed.
    package init(parsing text: String) throws(InvalidValue) {
        func malformed(_ problem: String) -> InvalidValue {
            InvalidValue(
                item: "connection key", problem: problem,
                repair: "send it as listed, for example test::gmail::default::0123456789abcdef0123456789abcdef|user-1")
        }
        let halves = text.split(separator: "|", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = halves[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        // "a::b::default::c" splits on ":" into a, "", b, "", default, "", c
        guard parts.count == 7, parts[1].isEmpty, parts[3].isEmpty, parts[5].isEmpty, parts[4] == "default" else {
            throw malformed("is not mode::integration::default::token")
        }
        guard let mode = Mode(rawValue: parts[0]) else { throw malformed("does not begin with test or live") }
        guard !parts[2].isEmpty, parts[2].utf8.allSatisfy(Self.isSlugByte) else {
            throw malformed("names no valid integration")
        }
        guard parts[6].utf8.count == 32, parts[6].utf8.allSatisfy(Self.isLowerHexByte) else {
            throw malformed("does not end in 32 lower-case hexadecimal digits")
        }
        self.mode = mode
        self.integration = parts[2]
        self.token = parts[6]
        self.identity = halves.count == 2 ? String(halves[1]) : nil
    }

    /// The part that is unique: everything before `|`.
    package var lookup: String { "\(mode.rawValue)::\(integration)::default::\(token)" }

    package var description: String { identity.map { "\(lookup)|\($0)" } ?? lookup }

    private static func isSlugByte(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte) || byte == 45
    }

    private static func isLowerHexByte(_ byte: UInt8) -> Bool { (97...102).contains(byte) || (48...57).contains(byte) }
}
