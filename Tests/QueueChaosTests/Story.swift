@testable import QueueChaos

/// A history of one job: enqueued at 0 ms with token `t`, started by process `w` at 10 ms, ended at 20 ms, and completed.
/// Times are in milliseconds.
struct Story {
    var entries: [Entry] = []
    var state = FinalState()
    var rules = Checker.Rules()

    init(
        verdict: Verdict = .committed, kind: ChaosKind = .plain, key: String? = nil, limit: String? = nil,
        ending: Ending? = .completed
    ) {
        add(0, .asked(call: 1, jobs: [Wanted(token: "t", kind: kind, key: key)]), by: "e")
        let answers = verdict == .committed ? [Answer(token: "t", job: 1, outcome: "new")] : []
        add(1, .answered(call: 1, verdict: verdict, jobs: answers), by: "e")
        run(lease: 1, worker: 1, kind: kind, key: key, limit: limit, from: 10, to: 20, ending)
        state.jobs = [FinalState.Job(id: 1, state: "completed", attempt: 1, crashes: nil, token: "t")]
        if let key { state.facts = [FinalState.FactRow(token: "t", key: key, seenBy: 1)] }
    }

    mutating func add(_ milliseconds: Int, _ fact: Fact, by: String = "conductor") {
        entries.append(Entry(at: Int64(milliseconds) * 1_000_000, by: by, fact: fact))
    }

    /// A handler; `ending` nil: it never came to one.
    mutating func run(
        job: Int64 = 1, lease: Int64, worker: Int64, kind: ChaosKind = .plain, key: String? = nil,
        priority: Int16 = 2, limit: String? = nil, attempt: Int = 1, crashes: Int = 0, from: Int, to: Int,
        _ ending: Ending?
    ) {
        add(
            from,
            .started(
                Start(
                    job: job, lease: lease, worker: worker, kind: kind, priority: priority, attempt: attempt,
                    crashes: crashes, key: key, token: key == nil ? "t" : nil, limitKeys: limit.map { [$0] } ?? [])),
            by: "w")
        if let ending { add(to, .finished(Finish(job: job, lease: lease, ending: ending)), by: "w") }
    }

    /// The properties that the checker says do not hold.
    var refuted: Set<Property> { Set(violations.map(\.property)) }

    /// What the checker says of it. Deaths that are given in plain milliseconds below 1000 are meant so.
    var violations: [Violation] {
        var state = state
        state.deaths = state.deaths.map {
            FinalState.Death(worker: $0.worker, at: $0.at < 1000 ? $0.at * 1_000_000 : $0.at)
        }
        let checker = Checker(entries: entries.sorted { $0.at < $1.at }, state: state, rules: rules)
        return checker.judge().violations
    }
}
