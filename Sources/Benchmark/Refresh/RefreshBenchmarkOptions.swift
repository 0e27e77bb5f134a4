/// What `bench refresh` measures, and how much of it.
package struct RefreshBenchmarkOptions: Sendable {
    /// How the provider treats a refresh token, and how it is reached.
    package enum Kind: String, Sendable, CaseIterable {
        /// The token stays good: no journal, kept connections.
        case replayable
        /// Every answer brings a new one (`strict`): journal and a fresh connection for each.
        case rotating
        /// The same over TLS: a handshake for each.
        case rotatingTLS = "rotating-tls"

        var integration: String { self == .replayable ? "bench-replayable" : "bench-rotating" }
        var isTLS: Bool { self == .rotatingTLS }
    }

    package var kinds = Kind.allCases
    /// From request to answer, in milliseconds.
    package var latencies = [50.0, 500.0]
    package var connections = 20_000
    /// After one to warm up.
    package var rounds = 3
    package var workers = 1
    /// Attempts at once of each worker; nil: enough for 4,000 a second at the latency.
    package var concurrency: Int?
    /// Connections of each worker to the database, beside those of its queue.
    package var databaseConnections = 16
    package var url: String?
    package var directory: String?
    /// False for tests: the private cluster syncs nothing.
    package var durable = true
    /// Longest wait for one round.
    package var patience: Duration = .seconds(300)
    /// This program; the processes of the fleet are its commands.
    package var program = ""

    package init() {}

    func concurrency(latency: Double) -> Int { concurrency ?? min(10_000, 128 + Int(4 * latency)) }
}
