import Foundation
import Pacing

/// How a setting's text becomes a value, and how a value is shown as a default.
package struct SettingKind<Value: Sendable>: Sendable {
    /// As the documentation names it: `duration`, `integer 1…1000`.
    package let name: String
    let parse: @Sendable (String) throws(SettingProblem) -> Value
    let print: @Sendable (Value) -> String
}

/// What is wrong with a setting's text, and what to write in its place.
package struct SettingProblem: Error, Sendable, Hashable {
    package let problem: String
    package let repair: String
}

extension SettingKind where Value == String {
    package static var text: SettingKind {
        SettingKind(name: "text", parse: { text throws(SettingProblem) in text }, print: { $0 })
    }

    /// A file or directory; relative ones count from the working directory.
    package static var path: SettingKind {
        SettingKind(
            name: "path",
            parse: { text throws(SettingProblem) in
                guard text.hasPrefix("~/") else { return text }
                return NSHomeDirectory() + text.dropFirst()
            }, print: { $0 })
    }

    /// An `http` or `https` URL without a path, query or fragment; a slash at its end is dropped.
    package static var origin: SettingKind {
        SettingKind(
            name: "origin",
            parse: { text throws(SettingProblem) in
                let trimmed = text.hasSuffix("/") ? String(text.dropLast()) : text
                guard let url = URLComponents(string: trimmed), url.scheme == "http" || url.scheme == "https",
                    let host = url.host, !host.isEmpty, url.path.isEmpty, url.query == nil, url.fragment == nil,
                    url.user == nil
                else {
                    throw SettingProblem(
                        problem: "is not an origin", repair: "write scheme, host and port: https://connect.example.com")
                }
                return trimmed
            }, print: { $0 })
    }
}

extension SettingKind where Value == Int {
    package static func integer(_ range: ClosedRange<Int>) -> SettingKind {
        SettingKind(
            name: "integer \(range.lowerBound)…\(range.upperBound)",
            parse: { text throws(SettingProblem) in
                guard let value = Int(text) else {
                    throw SettingProblem(
                        problem: "is not a whole number",
                        repair: "write one from \(range.lowerBound) to \(range.upperBound)")
                }
                guard range.contains(value) else {
                    throw SettingProblem(
                        problem: "is out of range", repair: "write one from \(range.lowerBound) to \(range.upperBound)")
                }
                return value
            }, print: { String($0) })
    }
}

extension SettingKind where Value == Bool {
    package static var flag: SettingKind {
        SettingKind(
            name: "true or false",
            parse: { text throws(SettingProblem) in
                switch text.lowercased() {
                case "true", "yes", "on", "1": true
                case "false", "no", "off", "0": false
                default: throw SettingProblem(problem: "is neither true nor false", repair: "write true or false")
                }
            }, print: { $0 ? "true" : "false" })
    }
}

extension SettingKind where Value == [String] {
    /// Values separated by commas, or a YAML sequence.
    package static func list(of item: String) -> SettingKind {
        SettingKind(
            name: "list of \(item)",
            parse: { text throws(SettingProblem) in
                text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            }, print: { $0.joined(separator: ",") })
    }
}

extension SettingKind where Value == Duration {
    package static func duration(_ range: ClosedRange<Duration>) -> SettingKind {
        SettingKind(
            name: "duration",
            parse: { text throws(SettingProblem) in
                guard let value = DurationText.parse(text) else {
                    throw SettingProblem(
                        problem: "is not a duration", repair: "write a number and a unit: 250ms, 30s, 5m, 6h, 7d")
                }
                guard range.contains(value) else {
                    let bounds = "\(DurationText.print(range.lowerBound)) to \(DurationText.print(range.upperBound))"
                    throw SettingProblem(problem: "is out of range", repair: "write a duration from \(bounds)")
                }
                return value
            }, print: { DurationText.print($0) })
    }
}

extension SettingKind where Value == [Duration] {
    /// Durations separated by commas; none is a value too.
    package static func durations(_ range: ClosedRange<Duration>) -> SettingKind {
        let one = SettingKind<Duration>.duration(range)
        return SettingKind(
            name: "list of durations",
            parse: { text throws(SettingProblem) in
                var values: [Duration] = []
                for part in text.split(separator: ",") {
                    values.append(try one.parse(part.trimmingCharacters(in: .whitespaces)))
                }
                return values
            }, print: { $0.map(DurationText.print).joined(separator: ",") })
    }
}

extension SettingKind where Value: RawRepresentable<String> & CaseIterable {
    /// One of a closed list of words.
    package static var choice: SettingKind {
        let words = Value.allCases.map(\.rawValue)
        return SettingKind(
            name: words.joined(separator: ", "),
            parse: { text throws(SettingProblem) in
                if let value = Value(rawValue: text) { return value }
                let hint = Likeness.closest(to: text, among: words).map { "; did you mean \($0)?" } ?? ""
                throw SettingProblem(
                    problem: "is none of its words", repair: "write one of \(words.joined(separator: ", "))\(hint)")
            }, print: { $0.rawValue })
    }
}

extension SettingKind {
    /// The same, where no value is a value.
    package static func optional<Wrapped: Sendable>(_ kind: SettingKind<Wrapped>) -> SettingKind
    where Value == Wrapped? {
        SettingKind(
            name: kind.name, parse: { text throws(SettingProblem) in try kind.parse(text) },
            print: { $0.map(kind.print) ?? "" })
    }
}
