extension Checker {
    func sharedKeys() -> [Violation] {
        var violations: [Violation] = []
        let keyed = Dictionary(
            grouping: holdings.values.lazy.flatMap { $0 }.filter { $0.start.key != nil }, by: { $0.start.key ?? "" })
        for (key, runs) in keyed.sorted(by: { $0.key < $1.key }) {
            let runs = runs.sorted { $0.at < $1.at }
            for (place, second) in runs.enumerated() {
                for first in runs[..<place] where !mayOverlap(first, second) {
                    violations.append(
                        Violation(
                            property: .keyRunsAlone,
                            message: "jobs \(first.start.job) and \(second.start.job) ran at once under key \(key)",
                            jobs: [first.start.job, second.start.job], keys: [key]))
                }
            }
        }
        return violations
    }

    /// The first was over when the second began, or need not have been: its worker was declared dead, or it was given back
    /// by a drain and has yet to notice.
    private func mayOverlap(_ first: Holding, _ second: Holding) -> Bool {
        if let over = first.overAt, over <= second.at { return true }
        if wasDeclaredDead(first.start.worker, before: second.at) { return true }
        return first.ending == .stopped && drains.contains { $0.by == first.by && $0.at <= second.at }
    }

    /// A wake-up writes a fact in its transaction, and every run marks the facts of its key that it sees.
    func unseenWakeUps() -> [Violation] {
        state.facts.filter { $0.seenBy == nil }.sorted { $0.token < $1.token }.map { fact in
            Violation(
                property: .wakeUpSeen, message: "no run of key \(fact.key) saw fact \(fact.token)", keys: [fact.key],
                tokens: [fact.token])
        }
    }
}
