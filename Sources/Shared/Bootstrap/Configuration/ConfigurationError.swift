/// One mistake in the configuration: where it stands, what is wrong, and how to repair it. Holds no secret value.
package struct ConfigurationFault: Sendable, Hashable, CustomStringConvertible {
    /// The place as its author knows it: `EVERGRANT_WORKER_CONCURRENCY`, `evergrant.yaml line 3: worker.concurrency`.
    package let place: String
    package let problem: String
    package let repair: String

    package var description: String { "\(place) \(problem); \(repair)" }
}

/// All mistakes of a configuration at once.
package struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    package let faults: [ConfigurationFault]

    package var description: String {
        if faults.count == 1 { return "configuration: \(faults[0])" }
        return "configuration: \(faults.count) mistakes\n" + faults.map { "  \($0)" }.joined(separator: "\n")
    }
}
