/// Why the schema cannot be used or brought up to date.
package struct SchemaError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// A migration file of this binary cannot be read.
        case unreadable
        /// The database has no schema of Evergrant, or an older one than this binary needs.
        case outdated
        /// The database was migrated by a newer binary than this one.
        case newer
        /// A migration was edited after it was applied.
        case altered
        /// A role name is not usable.
        case invalidRole
    }

    package let code: Code
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
