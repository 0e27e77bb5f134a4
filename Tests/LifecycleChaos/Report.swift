import LifecycleSupport

/// What a run did, and what it counted.
struct Report: Codable, Sendable {
    let seed: UInt64
    var histories: HistoriesReport?
    var fleet: FleetReport?
    var outage: OutageReport?
    var failover: FailoverReport?

    init(_ options: ConductOptions) { seed = options.seed }

    var isClean: Bool {
        [histories?.reckoning.isClean, fleet?.isClean, outage?.isClean, failover?.isClean].allSatisfy { $0 ?? true }
    }

    /// The report for people.
    var text: String {
        var lines = ["lifecycle-chaos: seed \(seed)"]
        if let histories {
            lines += ["", "histories of one connection: \(histories.played)"]
            lines += Self.rows([
                (
                    "by class",
                    histories.byClass.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
                ),
                ("revoked by the user", "\(histories.revoked)"),
                ("lost as no protocol can prevent, told as rotation_lost", "\(histories.told)"),
            ])
            lines += Self.counts(histories.reckoning)
            for story in histories.stories { lines += [""] + story.map { "    " + $0 } }
        }
        if let fleet {
            lines += [
                "", "a fleet of processes: \(fleet.seconds) s disturbed, at rest \(fleet.recoverySeconds) s later",
            ]
            lines += Self.rows([
                ("connections", "\(fleet.connections)"), ("revoked by the user", "\(fleet.revoked)"),
                ("refreshes answered", "\(fleet.refreshes)"),
                ("lost as no protocol can prevent, told as rotation_lost", "\(fleet.told)"),
                ("calls on demand at one connection (\(fleet.hot))", Self.list(fleet.calls)),
            ])
            lines += fleet.disturbances.sorted { $0.key < $1.key }.map { "    \($0.key): \($0.value)" }
            lines += Self.counts(fleet.reckoning)
            lines += fleet.reckoning.findings.map { "    " + $0 } + fleet.fallen.map { "    ended by itself: " + $0 }
        }
        if let outage {
            lines += ["", "an outage of the database with \(outage.refreshes) refreshes in flight"]
            lines += Self.rows([
                ("database away", "\(Self.tenths(outage.outageSeconds)) s"),
                ("all committed after its return within", "\(Self.tenths(outage.recoverySeconds)) s"),
                ("tokens presented twice", "\(outage.reckoning.replays)"),
            ])
            lines += Self.counts(outage.reckoning) + outage.reckoning.findings.prefix(20).map { "    " + $0 }
        }
        if let failover {
            lines += ["", "a failover to a standby without the last commits"]
            lines += Self.rows([
                ("connections", "\(failover.connections)"),
                ("token sets that the standby had not heard of", "\(failover.generationsLost)"),
                ("everything renewed after the promotion within", "\(Self.tenths(failover.recoverySeconds)) s"),
            ])
            lines += Self.counts(failover.reckoning) + failover.reckoning.findings.prefix(20).map { "    " + $0 }
        }
        if !isClean { lines += ["", "again: lifecycle-chaos --seed \(seed)"] }
        return lines.joined(separator: "\n")
    }

    /// The counts that must be zero, or one.
    static func counts(_ reckoning: Reckoning) -> [String] {
        rows([
            ("grants lost", "\(reckoning.losses)"),
            ("given up (harm app)", "\(reckoning.givenUp)"), ("false breaks", "\(reckoning.falseBreaks)"),
            ("true breaks missed", "\(reckoning.missedBreaks)"),
            ("neither working nor broken", "\(reckoning.unsettled)"),
            ("transitions without an event", "\(reckoning.transitionsWithoutEvent)"),
            ("events doubled", "\(reckoning.eventsDoubled)"),
            ("token requests of a grant in flight, at most", "\(reckoning.inFlight)"),
        ])
    }

    private static func tenths(_ seconds: Double) -> String { "\((seconds * 10).rounded() / 10)" }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
    }

    static func rows(_ rows: [(String, String)]) -> [String] {
        rows.map { "  " + $0.0 + String(repeating: " ", count: max(2, 58 - $0.0.count)) + $0.1 }
    }
}
