/// What a limit key allows over the whole fleet.
struct LimitRule: Codable, Sendable, Hashable {
    let key: String
    /// Jobs at a time; nil: any number.
    var concurrency: Int?
    /// Starts a second, and how many at once after a pause; nil: any number.
    var rate: Double?
    var burst = 1
}

extension Checker {
    func brokenLimits() -> [Violation] {
        let runs = holdings.values.flatMap { $0 }
        return rules.limits.flatMap { rule in
            let mine = runs.filter { $0.start.limitKeys.contains(rule.key) }
            return tooManyAtOnce(rule, mine) + tooManyStarts(rule, mine)
        }
    }

    /// A job runs from its start to its finish; one of a worker that was declared dead, to that at the latest, for its
    /// slot is free from then on; and one that a drain gave back, to that drain.
    private func tooManyAtOnce(_ rule: LimitRule, _ runs: [Holding]) -> [Violation] {
        guard let concurrency = rule.concurrency else { return [] }
        var changes: [(at: Int64, by: Int, lease: Int64, job: Int64)] = []
        for run in runs {
            let drain = run.ending == .stopped ? drains.first { $0.by == run.by }?.at : nil
            let end = min(run.overAt ?? .max, deaths[run.start.worker] ?? .max, drain ?? .max)
            guard end > run.at else { continue }
            changes.append((run.at, 1, run.start.lease, run.start.job))
            changes.append((end, -1, run.start.lease, run.start.job))
        }
        var running: [Int64: Int64] = [:]
        var violations: [Violation] = []
        for change in changes.sorted(by: { ($0.at, $0.by) < ($1.at, $1.by) }) {
            if change.by > 0 {
                running[change.job] = change.lease
            } else if running[change.job] == change.lease {
                running[change.job] = nil
            }
            guard change.by > 0, running.count > concurrency else { continue }
            violations.append(
                Violation(
                    property: .limitsKept,
                    message: "\(running.count) jobs of limit key \(rule.key) ran at once, \(concurrency) may",
                    jobs: running.keys.sorted()))
        }
        return violations
    }

    /// Starts in any window: at most the burst and what the rate gives in its length. A bucket that holds `burst` is
    /// over-full exactly when some window that ends there has too many.
    private func tooManyStarts(_ rule: LimitRule, _ runs: [Holding]) -> [Violation] {
        guard let rate = rule.rate else { return [] }
        let starts = runs.sorted { $0.at < $1.at }
        var filled = 0.0
        var last = starts.first?.at ?? 0
        var violations: [Violation] = []
        for (place, run) in starts.enumerated() {
            filled = max(0, filled - Double(run.at - last) / 1e9 * rate) + 1
            last = run.at
            guard filled > Double(rule.burst) + 1e-6 else { continue }
            violations.append(
                Violation(
                    property: .limitsKept,
                    message: "limit key \(rule.key) had more starts than \(rule.burst) and \(rate) a second",
                    jobs: starts[max(0, place - rule.burst)...place].map(\.start.job)))
            filled -= 1
        }
        return violations
    }
}
