/// What in the app owns a connection. The app chooses both parts; Evergrant never interprets the value.
package struct Identity: Sendable, Hashable, CustomStringConvertible {
    /// Longest value, in characters (grapheme clusters).
    package static let maximumLength = 256

    package let type: IdentityType
    package let value: String

    /// - Throws: ``InvalidValue`` when `value` is empty, longer than 256 characters or holds a NUL, which Postgres
    ///   text cannot store.
    package init(type: IdentityType, value: String) throws(InvalidValue) {
        if value.isEmpty {
            throw InvalidValue(item: "identity", problem: "is empty", repair: "send the id of the owner")
        }
        if value.count > Self.maximumLength {
            throw InvalidValue(
                item: "identity", problem: "has \(value.count) characters", repair: "send at most \(Self.maximumLength)"
            )
        }
        if value.utf8.contains(0) {
            throw InvalidValue(item: "identity", problem: "contains a NUL character", repair: "remove it")
        }
        self.type = type
        self.value = value
    }

    package var description: String { "\(type.rawValue)/\(value)" }
}

/// The kinds of owner an app may name.
package enum IdentityType: String, Sendable, Hashable, CaseIterable, Codable {
    case user, team, organization, project

    /// - Throws: ``InvalidValue`` that lists the four allowed values.
    package init(parsing text: String) throws(InvalidValue) {
        guard let known = IdentityType(rawValue: text) else {
            throw InvalidValue(
                item: "identity_type", problem: "is \"\(text.prefix(40))\"",
                repair: "use one of " + Self.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self = known
    }
}

/// What an API key opens; nothing crosses from one mode to the other.
package enum Mode: String, Sendable, Hashable, CaseIterable, Codable {
    case test, live
}

/// A value from outside that cannot be used: what it is, what is wrong, and how to repair it.
package struct InvalidValue: Error, Sendable, Hashable, CustomStringConvertible {
    package let item: String
    package let problem: String
    package let repair: String

    package init(item: String, problem: String, repair: String) {
        self.item = item
        self.problem = problem
        self.repair = repair
    }

    package var description: String { "\(item) \(problem); \(repair)" }
}
