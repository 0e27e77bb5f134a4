import ArgumentParser
import Bootstrap
import Logging

/// Where a command's configuration comes from.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Read this YAML file instead of evergrant.yaml.", valueName: "path"))
    var config: String?

    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Set a configuration key; may be given several times.", valueName: "key=value"))
    var settings: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Same as --set database.url=…; visible in process lists: prefer EVERGRANT_DATABASE_URL.", valueName: "url"))
    var databaseURL: String?

    @Option(name: .long, help: ArgumentHelp("Same as --set log.level=….", valueName: "level"))
    var logLevel: String?

    func validate() throws {
        for pair in settings {
            guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
                throw ValidationError(
                    "--set takes key=value, for example --set worker.concurrency=128; got \"\(pair)\"")
            }
        }
    }

    /// Values of the command line, by key. Later ones win.
    func values(_ further: [String: String] = [:]) -> [String: String] {
        var values = further
        if let databaseURL { values["database.url"] = databaseURL }
        if let logLevel { values["log.level"] = logLevel }
        for pair in settings {
            guard let equals = pair.firstIndex(of: "=") else { continue }
            values[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
        }
        return values
    }

    /// Reads the whole configuration.
    /// - Parameter further: values of a command's own options, by key.
    func load(
        needs: EvergrantConfiguration.Needs, _ further: [String: String] = [:]
    ) throws(ConfigurationError) -> EvergrantConfiguration {
        try EvergrantConfiguration(ConfigurationSources(commandLine: values(further), file: config), needs: needs)
    }
}
