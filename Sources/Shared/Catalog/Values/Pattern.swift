/// Regular expressions of the catalog. They are kept as text, because `Regex` is not `Sendable`, and always match
/// whole values.
enum Pattern {
    /// Whether `pattern` compiles; asked when the catalog is loaded.
    static func isValid(_ pattern: String) -> Bool { (try? Regex(pattern)) != nil }

    /// Whether all of `value` matches. A pattern that does not compile matches nothing.
    static func matches(_ pattern: String, _ value: String) -> Bool {
        guard let regex = try? Regex(pattern) else { return false }
        return (try? regex.wholeMatch(in: value)) != nil
    }
}
