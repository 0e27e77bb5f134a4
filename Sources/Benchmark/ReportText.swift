import Foundation

extension QueueReport {
    /// For people: conditions, then a table for each shape.
    package var text: String {
        var parts = [conditions.text]
        var seen: [String] = []
        for figure in figures {
            let title = "\(figure.shape), \(figure.variant)"
            if seen.contains(title) { continue }
            seen.append(title)
            parts.append(Self.text(figures.filter { "\($0.shape), \($0.variant)" == title }))
        }
        return parts.joined(separator: "\n\n")
    }

    /// One table: a line for each side, a column for each quantity.
    static func text(_ figures: [Figure]) -> String {
        guard let first = figures.first else { return "" }
        var columns: [(name: String, unit: String)] = []
        for measure in figures.flatMap(\.measures) where !columns.contains(where: { $0.name == measure.name }) {
            columns.append((measure.name, measure.unit))
        }
        var rows = [[""] + columns.map { $0.unit.isEmpty ? $0.name : "\($0.name), \($0.unit)" }]
        for figure in figures {
            rows.append(
                [figure.subject]
                    + columns.map { column in figure.measure(column.name).map(text) ?? "–" })
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let table = rows.map { row in
            zip(row, widths).enumerated().map { index, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return index == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "  ")
        }
        let settings = figures.filter { !$0.settings.isEmpty }.map { "  \($0.subject): \($0.settings)" }
        return (["== \(first.shape), \(first.variant)"] + table + settings).joined(separator: "\n")
    }

    private static func text(_ measure: Measure) -> String {
        let median = text(measure.median)
        guard measure.samples.count > 1 else { return median }
        return "\(median) (\(text(measure.lowest))–\(text(measure.highest)))"
    }

    /// Three digits that matter.
    private static func text(_ value: Double) -> String {
        let size = abs(value)
        if size >= 100 || value == value.rounded() { return String(format: "%.0f", value) }
        return String(format: size >= 10 ? "%.1f" : size >= 0.01 ? "%.2f" : "%.4f", value)
    }
}
