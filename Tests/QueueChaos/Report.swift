/// What a run did, and what it proved.
struct Report: Codable, Sendable {
    let seed: UInt64
    let seconds: Int
    let fault: Fault?
    /// In the order of the table.
    let done: [Row]
    let violations: [Violation]
    /// The properties that the run gave a chance to fail.
    let tried: [Property]
    /// How many of each property there were; those without are proved.
    let counts: [String: Int]

    struct Row: Codable, Sendable {
        let name: String
        let value: String
    }

    init(_ checker: Checker, options: ConductOptions, seconds: Int) {
        seed = options.seed
        self.seconds = seconds
        fault = options.fault
        let (violations, counts) = checker.judge()
        self.violations = violations
        self.counts = Dictionary(uniqueKeysWithValues: counts.map { ($0.key.rawValue, $0.value) })
        done = Self.rows(checker)
        tried = Property.allCases.filter(checker.tries)
    }

    private static func rows(_ checker: Checker) -> [Row] {
        let enqueues = checker.enqueues
        let holdings = checker.holdings.values
        let runs = holdings.reduce(0) { $0 + $1.count }
        var nemeses: [Nemesis: Int] = [:]
        for entry in checker.entries {
            if case .disturbs(let what) = entry.fact { nemeses[what.nemesis, default: 0] += 1 }
        }
        func verdicts(_ verdict: Verdict?) -> Int { enqueues.count { $0.verdict == verdict } }
        func outcomes(_ outcome: String) -> Int { enqueues.count { $0.answer?.outcome == outcome } }
        func endings(_ ending: Ending) -> Int { holdings.reduce(0) { $0 + $1.count { $0.ending == ending } } }
        let crashes = holdings.reduce(0) { $0 + ($1.map(\.start.crashes).max() ?? 0) }
        var rows = [
            Row(name: "jobs asked for", value: "\(enqueues.count)"),
            Row(
                name: "  committed, rolled back, unknown",
                value: "\(verdicts(.committed)), \(verdicts(.rolledBack)), \(verdicts(.unknown) + verdicts(nil))"),
            Row(
                name: "  keys: new, again, waiting, forward, wish",
                value: ["new", "again", "waiting", "forward", "wish"].map { word in
                    "\(enqueues.count { $0.wanted.key != nil && $0.answer?.outcome == word })"
                }.joined(separator: ", ")),
            Row(name: "jobs in the tables", value: "\(checker.state.jobs.count)"),
            Row(name: "runs of handlers", value: "\(runs)"),
            Row(name: "  jobs that ran more than once", value: "\(holdings.count { $0.count > 1 })"),
            Row(name: "  rescued from dead workers", value: "\(crashes)"),
            Row(name: "  late settles refused", value: "\(endings(.lost) + endings(.fencedLost))"),
            Row(name: "  stopped in the middle", value: "\(endings(.stopped))"),
            Row(name: "effects settled in their transaction", value: "\(checker.state.effects.count)"),
            Row(name: "wake-ups", value: "\(checker.state.facts.count)"),
            Row(name: "workers declared dead", value: "\(checker.state.deaths.count)"),
        ]
        if let share = checker.urgentShare {
            let percent = Int((share * 100).rounded())
            rows.append(Row(name: "urgent share with bulk waiting", value: "\(percent) % of starts"))
        }
        let names = Nemesis.allCases.compactMap { nemesis in nemeses[nemesis].map { "\(nemesis) \($0)" } }
        rows.append(Row(name: "nemeses", value: names.isEmpty ? "none" : names.joined(separator: ", ")))
        return rows
    }

    /// The report for people.
    var text: String {
        let width = (done.map(\.name.count).max() ?? 0) + 2
        var lines = ["queue-chaos: seed \(seed), \(seconds) s" + (fault.map { ", with the fault `\($0)`" } ?? ""), ""]
        lines += done.map { $0.name.padded(to: width) + $0.value }
        lines.append("")
        for property in Property.allCases {
            let count = counts[property.rawValue] ?? 0
            let verdict = count > 0 ? "  REFUTED   " : tried.contains(property) ? "  proved    " : "  not tried "
            lines.append(verdict + property.sentence + (count > 0 ? ": \(count)" : ""))
        }
        for violation in violations {
            lines += ["", "\(violation.property.rawValue): \(violation.message)"]
            lines += violation.history.map { "    " + $0 }
        }
        if !violations.isEmpty { lines += ["", "again, with the same disturbances: queue-chaos --seed \(seed)"] }
        return lines.joined(separator: "\n")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
