import ArgumentParser
import Foundation

/// How a tool prints.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print JSON instead of a table.")
    var json = false

    /// Prints `value` as JSON, or `text` for people.
    func print(_ value: some Encodable, text: @autoclosure () -> String) throws {
        guard json else { return Swift.print(text()) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        encoder.keyEncodingStrategy = .convertToSnakeCase
        Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}

extension Date {
    /// `2026-01-31 09:05:07 UTC`, as tables show it.
    var tableText: String {
        let text = formatted(.iso8601)
        return text.dropLast().replacing("T", with: " ") + " UTC"
    }
}

extension Optional where Wrapped == Date {
    var tableText: String { map(\.tableText) ?? "–" }
}
