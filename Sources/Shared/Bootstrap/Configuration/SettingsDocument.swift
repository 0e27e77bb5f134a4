/// The table of `docs/configuration.md`, made from the settings themselves; a test compares the file with it.
package enum SettingsDocument {
    /// A Markdown table a group.
    package static func tables(_ rows: [SettingRow] = EvergrantConfiguration.rows) -> String {
        var groups: [(name: String, rows: [SettingRow])] = []
        for row in rows {
            let group = String(row.name.prefix { $0 != "." })
            if let known = groups.firstIndex(where: { $0.name == group }) {
                groups[known].rows.append(row)
            } else {
                groups.append((group, [row]))
            }
        }
        return groups.map { group in
            (["## \(group.name)", "", "| Key | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
                + group.rows.map(line)).joined(separator: "\n")
        }.joined(separator: "\n\n") + "\n"
    }

    private static func line(_ row: SettingRow) -> String {
        let standard = row.defaultText.isEmpty ? "–" : "`\(row.defaultText)`"
        let kind = row.kind + (row.isSecret ? ", secret" : "")
        return "| `\(row.name)`<br>`\(row.variable)` | \(kind) | \(standard) | \(row.meaning) |"
    }
}
