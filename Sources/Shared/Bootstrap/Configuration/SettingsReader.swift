import Configuration
import Foundation

/// Reads settings one by one and collects every fault, so that all are reported together.
///
/// Used by one thread while a configuration is read, and thrown away.
package final class SettingsReader {
    private let reader: ConfigReader
    private let sources: ConfigurationSources
    private let file: ConfigurationFile?
    private(set) package var faults: [ConfigurationFault] = []

    package init(_ sources: ConfigurationSources) {
        self.sources = sources
        file = sources.filePath.map { ConfigurationFile(reading: $0) }
        faults = file?.faults ?? []
        func provider(_ name: String, _ values: [String: String]) -> InMemoryProvider {
            InMemoryProvider(
                name: name,
                values: Dictionary(
                    uniqueKeysWithValues: values.map {
                        (AbsoluteConfigKey(Self.components($0.key)), .init(.string($0.value), isSecret: false))
                    }))
        }
        reader = ConfigReader(providers: [
            provider("command line", sources.commandLine),
            EnvironmentVariablesProvider(environmentVariables: sources.environment).prefixKeys(with: "evergrant"),
            provider("file", (file?.values ?? [:]).mapValues(\.text)),
        ])
    }

    /// The value of a setting: of the strongest source that has it, else its default. A text that is no value is
    /// recorded as a fault, and the default returned in its place.
    package func value<Value>(_ setting: Setting<Value>) -> Value {
        guard let text = text(of: setting.name, isSecret: setting.isSecret) else { return setting.defaultValue }
        do {
            return try setting.kind.parse(text)
        } catch {
            let shown = setting.isSecret ? "" : " (\"\(text.prefix(80))\")"
            faults.append(
                ConfigurationFault(
                    place: place(of: setting.name), problem: error.problem + shown, repair: error.repair))
            return setting.defaultValue
        }
    }

    /// Whether any source has the key.
    package func isGiven(_ name: String) -> Bool { text(of: name, isSecret: true) != nil }

    /// Records a fault of a setting: a value that does not go together with others, or a missing one.
    package func record(_ name: String, _ problem: String, repair: String) {
        faults.append(ConfigurationFault(place: place(of: name), problem: problem, repair: repair))
    }

    /// Records every key of every source that no row knows, with the name that was probably meant.
    package func checkNames(_ rows: [SettingRow]) {
        let names = Set(rows.map(\.name))
        for key in sources.commandLine.keys.sorted() where !names.contains(key) {
            unknown(place: "--set \(key)", word: key, among: names.sorted())
        }
        let variables = Set(rows.map(\.variable))
        for variable in sources.environment.keys.sorted() where !variables.contains(variable) {
            unknown(place: variable, word: variable, among: variables.sorted())
        }
        for (key, _) in (file?.values ?? [:]).sorted(by: { $0.key < $1.key }) where !names.contains(key) {
            unknown(place: place(inFile: key), word: key, among: names.sorted())
        }
    }

    private func unknown(place: String, word: String, among candidates: [String]) {
        let hint = Likeness.closest(to: word, among: candidates).map { "did you mean \($0)?" }
        faults.append(
            ConfigurationFault(
                place: place, problem: "is unknown", repair: hint ?? "docs/configuration.md lists every key"))
    }

    private func text(of name: String, isSecret: Bool) -> String? {
        reader.string(forKey: ConfigKey(Self.components(name)), isSecret: isSecret)
    }

    /// The source that a value comes from, as its author knows it.
    private func place(of name: String) -> String {
        if sources.commandLine[name] != nil { return "--set \(name)" }
        if sources.environment[SettingRow.variable(of: name)] != nil { return SettingRow.variable(of: name) }
        return file?.values[name] != nil ? place(inFile: name) : name
    }

    private func place(inFile name: String) -> String {
        let line = file?.values[name]?.line.map { " line \($0)" } ?? ""
        return "\(sources.filePath ?? "evergrant.yaml")\(line): \(name)"
    }

    private static func components(_ name: String) -> [String] { name.split(separator: ".").map(String.init) }
}
