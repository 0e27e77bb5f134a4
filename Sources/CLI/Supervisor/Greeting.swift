import Bootstrap
import Credentials
import Foundation

/// What `evergrant up` says when everything runs: what runs where, the API key, three things to try. Under twenty lines.
struct Greeting: Sendable {
    let directory: String
    let configuration: EvergrantConfiguration
    let sandboxPort: Int
    let apiKey: Secret
    let isNewKey: Bool
    /// Nil when the front minted none.
    let link: String?
    let isPrivateDatabase: Bool
    let processes: [(name: String, processID: Int32)]
    var isNewKeyring = false
    var startTime: Duration = .zero

    var text: String {
        let front = configuration.front
        let places = [
            "front": "\(front.publicURL)  (metrics: \(metrics(front.adminHost, front.adminPort)))",
            "scheduler": "metrics: \(metrics(configuration.scheduler.adminHost, configuration.scheduler.adminPort))",
            "worker": "metrics: \(metrics(configuration.worker.adminHost, configuration.worker.adminPort))",
            "sandbox": "http://127.0.0.1:\(sandboxPort)  (a provider to test with: any account name will do)",
        ]
        let seconds = String(format: "%.1f", startTime / .seconds(1))
        var lines = ["Evergrant is up after \(seconds) s. Ctrl-C stops all of it; its data stays in \(directory).", ""]
        for (name, processID) in processes {
            lines.append("  \(pad(name)) pid \(pad(String(processID), 7)) \(places[name] ?? "")".trimmingTrailingSpaces)
        }
        let database =
            isPrivateDatabase ? "private, in \(FleetDirectory(path: directory).database)" : "the one you gave"
        lines.append("  \(pad("postgres")) \(database)")
        lines.append(
            "  \(pad("API key")) \(apiKey.revealedText())\(isNewKey ? "  (new; kept in \(directory)/api-key)" : "")")
        if isNewKeyring {
            lines.append(
                "  \(pad("keyring")) made \(directory)/keyring: without it nobody can read the stored tokens; back it up"
            )
        }
        lines += ["", "Try:"]
        if let link { lines.append("  1. connect a sandbox account in a browser: \(link)") }
        lines.append(
            "  2. list it:  curl -H \"Authorization: Bearer $(cat \(directory)/api-key)\" \(front.publicURL)/v1/connections"
        )
        lines.append("  3. watch it: tail -f \(directory)/log/worker.log")
        return lines.joined(separator: "\n")
    }

    private func metrics(_ host: String, _ port: Int?) -> String {
        port.map { "http://\(host):\($0)/metrics" } ?? "none"
    }

    private func pad(_ text: String, _ width: Int = 10) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: String {
        String(reversed().drop { $0 == " " }.reversed())
    }
}
