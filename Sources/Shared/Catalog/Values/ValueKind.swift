import Credentials

/// The type of a value that goes into a URL or a header: who may give it, and which values are safe there.
package enum ValueKind: Sendable, Hashable {
    /// One DNS label (`^[a-z0-9-]{1,63}$`), typed by the user; stands under a suffix that the catalog fixes.
    case label
    /// One of a closed list; `enum` in the catalog.
    case options([String])
    /// A host name, typed by the user, that equals one of the suffixes, or ends in one that begins with a dot.
    case host(suffixes: [String])
    /// Host and optional port of a self-hosted service, pinned by the operator in the OAuth app; never asked of users.
    case operatorHost
    /// An https base that a provider's answer names, whose host must match the suffixes.
    case baseURL(suffixes: [String])
    /// One path segment or header word: letters, digits and `.` `_` `~` `-`, 1–128 of them, also matching `pattern`
    /// as a whole when there is one.
    case segment(pattern: String?)
    /// Text for people; may stand in no URL.
    case text

    /// Returns the value to use for `value`.
    /// - Parameter item: how the error names the value.
    /// - Throws: ``InvalidValue`` that says what is wrong and what to send.
    package func check(_ value: String, item: String) throws(InvalidValue) -> String {
        func refuse(_ problem: String, _ repair: String) -> InvalidValue {
            InvalidValue(item: item, problem: problem, repair: repair)
        }
        switch self {
        case .label:
            if let problem = HostName.labelProblem(value) {
                throw refuse(problem, "send the name alone: 1 to 63 lower-case letters, digits or hyphens")
            }
        case .options(let values):
            guard values.contains(value) else {
                throw refuse("is none of the allowed values", "use one of " + values.joined(separator: ", "))
            }
        case .host(let suffixes):
            let allowed = "send a host name such as " + suffixes.map(Self.example).joined(separator: " or ")
            if let problem = HostName.problem(with: value) { throw refuse(problem, allowed) }
            guard suffixes.contains(where: { HostName.matches(value, suffix: $0) }) else {
                throw refuse("is not a host of this provider", allowed)
            }
        case .operatorHost:
            try Self.checkOperatorHost(value, item: item)
        case .baseURL(let suffixes):
            return try AnswerHost.check(value, suffixes: suffixes, item: item)
        case .segment(let pattern):
            try Self.checkSegment(value, pattern: pattern, item: item)
        case .text:
            guard !value.isEmpty, value.utf8.count <= 1024, !value.unicodeScalars.contains(where: { $0.value < 0x20 })
            else { throw refuse("is empty, too long or has control characters", "send 1 to 1024 bytes of text") }
        }
        return value
    }

    private static func example(of suffix: String) -> String { suffix.hasPrefix(".") ? "name\(suffix)" : suffix }

    private static func checkOperatorHost(_ value: String, item: String) throws(InvalidValue) {
        let parts = value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let repair = "send host or host:port, for example gitlab.example.com:8443"
        if parts.count == 2 {
            guard let port = UInt16(parts[1]), port > 0, String(port) == parts[1] else {
                throw InvalidValue(item: item, problem: "has an invalid port", repair: repair)
            }
        }
        if HostName.isIPv4(parts[0]) { return }
        if let problem = HostName.problem(with: parts[0], allowsSingleLabel: true) {
            throw InvalidValue(item: item, problem: problem, repair: repair)
        }
    }

    private static func checkSegment(_ value: String, pattern: String?, item: String) throws(InvalidValue) {
        let isSafe = value.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isSafe, (1...128).contains(value.utf8.count), value != ".", value != ".." else {
            throw InvalidValue(
                item: item, problem: "is not a plain word",
                repair: "send 1 to 128 letters, digits or the characters . _ ~ -")
        }
        if let pattern, !Pattern.matches(pattern, value) {
            throw InvalidValue(
                item: item, problem: "does not have the expected form", repair: "it must match \(pattern)")
        }
    }
}
