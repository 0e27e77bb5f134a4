/// One SQL statement with a name. Every connection prepares it once, at its first use there.
package struct PostgresStatement: Sendable, Hashable {
    /// A verb and a noun, such as `find connection`; errors and logs show it. Two statements may share a name.
    package let name: String
    /// A single statement with `$1`, `$2`, … for the parameters.
    package let sql: String

    package init(_ name: String, _ sql: String) {
        self.name = name
        self.sql = sql
    }
}
