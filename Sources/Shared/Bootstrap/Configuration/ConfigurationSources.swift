import Configuration
import Foundation

/// Where a configuration comes from, the strongest first: command line, environment, file.
package struct ConfigurationSources: Sendable {
    /// Pairs of `--set` and of the options that stand for a key, by key.
    package let commandLine: [String: String]
    /// The `EVERGRANT_…` variables that are set and not empty.
    package let environment: [String: String]
    /// Path of the YAML file; nil when there is none.
    package let filePath: String?

    /// - Parameters:
    ///   - commandLine: values by key.
    ///   - environment: the process's variables; others than `EVERGRANT_…` are ignored, empty ones count as absent.
    ///   - file: the file asked for; without it `EVERGRANT_CONFIG`, else `evergrant.yaml` of `directory` if it exists.
    package init(
        commandLine: [String: String] = [:], environment: [String: String] = ProcessInfo.processInfo.environment,
        file: String? = nil, directory: String = FileManager.default.currentDirectoryPath
    ) {
        self.commandLine = commandLine
        self.environment = environment.filter {
            $0.key.hasPrefix("EVERGRANT_") && !$0.value.isEmpty && !Self.isForOthers($0.key, $0.value)
        }
        if let named = file ?? environment["EVERGRANT_CONFIG"], !named.isEmpty {
            filePath = named
        } else {
            let usual = directory + "/evergrant.yaml"
            filePath = FileManager.default.fileExists(atPath: usual) ? usual : nil
        }
    }

    /// Variables with our prefix that are not settings: the file's path, the development scripts' own, and what
    /// Kubernetes sets for a Service named `evergrant-…` (kubernetes.io: "Environment variables" of a Service).
    static func isForOthers(_ name: String, _ value: String) -> Bool {
        let own = ["EVERGRANT_CONFIG", "EVERGRANT_BUILD", "EVERGRANT_BINARY"]
        if own.contains(name) || name.hasPrefix("EVERGRANT_TEST_") || name.hasPrefix("EVERGRANT_CHROM") { return true }
        if name.hasSuffix("_SERVICE_HOST") || name.contains("_SERVICE_PORT") { return true }
        return name.contains("_PORT") && (value.hasPrefix("tcp://") || name.contains("_TCP"))
    }
}
