/// A statement that always returns a row returned none: the schema is not the one this build was made for.
package struct MissingRow: Error, Sendable, CustomStringConvertible {
    package let statement: String

    package init(statement: String) { self.statement = statement }

    package var description: String { "\(statement) returned no row; run `evergrant migrate` of this version" }
}
