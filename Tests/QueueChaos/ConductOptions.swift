import ChaosSupport
import Foundation

/// What a run is asked for on the command line.
struct ConductOptions: Sendable {
    var seconds = 60
    var seed = UInt64.random(in: 1...999_999)
    var workers = 3
    /// What disturbs the run; nil: everything that can be, or what the fault needs.
    var nemeses: [Nemesis]?
    var fault: Fault?
    /// A migrated database to use instead of a cluster of our own; then there are no network nemeses and no restarts.
    var databaseURL: String?
    /// Where the report goes as JSON.
    var reportPath: String?
    /// Leave the histories and logs.
    var keeps = false

    static let help = """
        Usage: queue-chaos [--minutes N | --seconds N] [--seed S] [--workers N] [--nemeses A,B…] [--fault F]
                           [--database URL] [--report FILE] [--keep]

        Runs workers, observers and enqueuers as processes on a private Postgres behind a proxy, disturbs them, and proves
        from what they wrote down that no job was lost and no effect repeated. Exit status 0: proved; 1: refuted, with the
        history of what was; 2: the run could not be made.

          --minutes, --seconds   how long the disturbances go on (default 60 seconds)
          --seed                 of the disturbances and the load (default: drawn, and printed)
          --workers              worker processes (default 3)
          --nemeses              of: \(Nemesis.allCases.map(\.rawValue).joined(separator: " "))
                                 (default all; `none` for none)
          --fault                break the queue on purpose: \(Fault.allCases.map(\.rawValue).joined(separator: ", "))
          --database             a migrated, empty database that nobody else uses, instead of a private one
          --report               also write the report as JSON
          --keep                 leave the histories and logs in the temporary directory
        """

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
        while let option = rest.popFirst() {
            switch option {
            case "--help", "-h": return nil
            case "--minutes": seconds = try value(option) { Double($0).map { Int($0 * 60) } }
            case "--seconds": seconds = try value(option) { Int($0) }
            case "--seed": seed = try value(option) { UInt64($0) }
            case "--workers": workers = try value(option) { Int($0).flatMap { $0 > 0 ? $0 : nil } }
            case "--fault": fault = try value(option, Fault.init)
            case "--database": databaseURL = try value(option) { $0 }
            case "--report": reportPath = try value(option) { $0 }
            case "--keep": keeps = true
            case "--nemeses":
                nemeses = try value(option) { word in
                    if word == "none" { return [] }
                    let words = word.split(separator: ",").map { Nemesis(rawValue: String($0)) }
                    return words.contains(nil) ? nil : words.compactMap { $0 }
                }
            default: throw ChaosError("unknown option \(option); see --help")
            }
        }
    }

    /// What disturbs the run in fact.
    var activeNemeses: [Nemesis] {
        let wanted: [Nemesis] =
            switch fault {
            case nil: Nemesis.allCases
            case .fence, .keys: []
            case .rescue, .settle: [.verdict]
            case .observer: [.freeze]
            }
        let possible = (nemeses ?? wanted)
        return databaseURL == nil ? possible : possible.filter { $0.track != .network && $0 != .restart }
    }

    /// The load; a fault gets the one it needs to show.
    var pace: Pace {
        var pace = Pace()
        switch fault {
        case nil: break
        case .fence:
            pace.callers = 6
            pace.keyed = 0
            pace.late = 30
        case .keys:
            pace.callers = 6
            pace.keyed = 90
            pace.keyLife = 250
        case .rescue: pace.keyed = 10
        case .observer:
            // Less than any freeze lasts.
            pace.patience = 700
        case .settle:
            pace.keyed = 10
            // A worker that was declared dead goes on for a while before it hears of it.
            pace.beatInterval = 1000
            pace.work = 200
        }
        return pace
    }

    /// Limits of the run, whose keys the enqueuers give to some of their jobs. Rates are not among them: between a start
    /// that is granted and the start that is seen lies the network.
    var limits: [LimitRule] {
        fault == nil ? [LimitRule(key: "narrow", concurrency: 2), LimitRule(key: "wide", concurrency: 5)] : []
    }

    /// How long nothing may change at the end, with jobs still waiting, until they are given up as lost.
    var stall: Duration { fault == nil ? .seconds(15) : .seconds(3) }
}
