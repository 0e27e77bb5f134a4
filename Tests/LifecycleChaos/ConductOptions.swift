import ChaosSupport
import Lifecycle

/// What a run is asked for.
struct ConductOptions: Sendable {
    /// How long a fleet of processes is disturbed; 0: none.
    var seconds = 60
    var histories = 500
    var seed = UInt64.random(in: 0..<1_000_000_000)
    var workers = 4
    var callers = 10
    /// Seconds that the database is away with refreshes in flight; 0: it is not.
    var outage = 0
    var refreshes = 1000
    var failsOver = false
    var reportPath: String?
    /// Of the histories.
    var guards = ProtocolGuards.all

    static let help = """
        usage: lifecycle-chaos [--minutes N | --seconds N] [--histories N] [--seed S] [--workers N] [--callers N]
                               [--outage SECONDS [--refreshes N]] [--failover] [--report FILE] [--without GUARD]

        Keeps grants alive at a provider that fails, on a database that goes away, in processes that are killed, stopped and
        cut off at every step of an attempt; then counts against the provider's own ledger. Exit status 0: every count that
        must be zero is; 1: one is not, with its history; 2: the run could not be made.

          --minutes, --seconds   how long a fleet of processes is disturbed (default 60 seconds; 0: no fleet)
          --histories            histories of one connection each, played in this process (default 500; 0: none)
          --seed                 of histories and disturbances (default: drawn, and printed)
          --workers              worker processes of the fleet (default 4)
          --callers              on-demand callers at one connection, in the fronts (default 10)
          --outage               also take the database away for so many seconds under load (default 0: do not)
          --refreshes            refreshes in flight in that outage (default 1000)
          --failover             also fail over to a standby that lacks the last commits
          --report               also write the report as JSON
          --without              play the histories without this guard, to see what it is for:
                                 \(guards.map(\.0).joined(separator: ", "))
        """

    static let guards: [(String, ProtocolGuards)] = [
        ("fence", .fence), ("nonce", .nonce), ("send-hook", .sendHook), ("re-read", .reread), ("escrow", .escrow),
        ("alternates", .alternates), ("suspicion", .suspicion), ("strict-wait", .strictWait),
        ("ambiguity", .ambiguityCarried), ("hold", .hold),
    ]

    init() {}

    /// nil: help was asked for. Throws `ChaosError` for what cannot be.
    init?(_ arguments: [String]) throws {
        var rest = arguments[...]
        func value<T>(_ option: String, _ parse: (String) -> T?) throws -> T {
            guard let word = rest.popFirst(), let value = parse(word) else {
                throw ChaosError("\(option) needs a value of another kind; see --help")
            }
            return value
        }
        func count(_ option: String) throws -> Int {
            try value(option) { word in Int(word).flatMap { $0 >= 0 ? $0 : nil } }
        }
        while let option = rest.popFirst() {
            switch option {
            case "--help", "-h": return nil
            case "--minutes": seconds = try value(option) { Double($0).map { Int($0 * 60) } }
            case "--seconds": seconds = try count(option)
            case "--histories": histories = try count(option)
            case "--seed": seed = try value(option) { UInt64($0) }
            case "--workers": workers = max(1, try count(option))
            case "--callers": callers = try count(option)
            case "--outage": outage = try count(option)
            case "--refreshes": refreshes = max(1, try count(option))
            case "--failover": failsOver = true
            case "--report": reportPath = try value(option) { $0 }
            case "--without":
                guards.remove(try value(option) { word in Self.guards.first { $0.0 == word }?.1 })
            default: throw ChaosError("unknown option \(option); see --help")
            }
        }
    }
}
