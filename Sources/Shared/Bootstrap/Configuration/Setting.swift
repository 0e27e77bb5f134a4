import Pacing

/// One configuration key: its name, type, default and meaning in one place, so that reading and documentation agree.
///
/// `database.url` is `--set database.url=…` on the command line, `EVERGRANT_DATABASE_URL` in the environment and
/// `database: {url: …}` in `evergrant.yaml`; the first of the three that has it counts.
package struct Setting<Value: Sendable>: Sendable {
    /// Group and key, lower case, words joined by `_`: `worker.shutdown_grace`.
    package let name: String
    package let kind: SettingKind<Value>
    /// What counts when no source has the key. For a required setting the value is never used.
    package let defaultValue: Value
    /// Whether a value may be shown: in faults, in `--json`, in logs.
    package let isSecret: Bool
    /// One sentence, with the unit where the type does not tell it.
    package let meaning: String

    package init(
        _ name: String, _ kind: SettingKind<Value>, default defaultValue: Value, isSecret: Bool = false,
        _ meaning: String
    ) {
        self.name = name
        self.kind = kind
        self.defaultValue = defaultValue
        self.isSecret = isSecret
        self.meaning = meaning
    }

    /// The row of the documentation.
    package var row: SettingRow {
        SettingRow(
            name: name, kind: kind.name, defaultText: kind.print(defaultValue), isSecret: isSecret, meaning: meaning)
    }
}

/// A setting without its Swift type, for the table and for did-you-mean.
package struct SettingRow: Sendable, Hashable {
    package let name: String
    package let kind: String
    /// Empty when the setting has no default.
    package let defaultText: String
    package let isSecret: Bool
    package let meaning: String

    /// The environment variable: `EVERGRANT_` and the name in upper case.
    package var variable: String { Self.variable(of: name) }

    package static func variable(of name: String) -> String {
        "EVERGRANT_" + String(name.map { $0 == "." || $0 == "-" ? "_" : $0 }).uppercased()
    }
}
