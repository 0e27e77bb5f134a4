/// What each metric means: help texts of `/metrics`, and the table of `docs/configuration.md`'s neighbour,
/// `docs/metrics.md`.
package enum MetricsTable {
    package struct Row: Sendable, Hashable {
        package let name: String
        package let type: String
        package let labels: [String]
        package let meaning: String
    }

    package static let rows: [Row] = []

    static func meaning(of name: String) -> String? { meanings[name] }

    private static let meanings = Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.meaning) })
}
