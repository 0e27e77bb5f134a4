extension Checker {
    func lostJobs() -> [Violation] {
        var violations: [Violation] = []
        func lost(_ message: String, job: Int64? = nil, token: String? = nil) {
            violations.append(
                Violation(
                    property: .nothingLost, message: message, jobs: job.map { [$0] } ?? [],
                    tokens: token.map { [$0] } ?? []))
        }
        let tokens = Set(state.jobs.compactMap(\.token))
        let facts = Set(state.facts.map(\.token))
        for enqueue in enqueues where enqueue.verdict == .committed {
            let token = enqueue.wanted.token
            if enqueue.wanted.key != nil {
                if !facts.contains(token) { lost("the fact of a committed enqueue is not there", token: token) }
            } else if !tokens.contains(token) {
                lost("a committed enqueue's job is nowhere", job: enqueue.answer?.job, token: token)
            }
            if let job = enqueue.answer?.job, places[job] == nil {
                lost("job \(job), which a committed enqueue was told of, is nowhere", job: job, token: token)
            }
        }
        for job in state.jobs where !job.hasEnded {
            lost("job \(job.id) is still \(job.state) when nothing moves any more", job: job.id, token: job.token)
        }
        for (job, runs) in holdings where places[job] == nil {
            lost("job \(job) ran \(runs.count) times and is nowhere", job: job, token: runs.first?.start.token)
        }
        return violations
    }

    func misplacedJobs() -> [Violation] {
        var violations = places.filter { $0.value.count > 1 }.sorted { $0.key < $1.key }.map { job, rows in
            Violation(
                property: .onePlace, message: "job \(job) is \(rows.map(\.state).joined(separator: " and "))",
                jobs: [job])
        }
        // One call, one job: a statement that was sent twice would make two.
        let keyed = keyedTokens
        let first = state.jobs.filter { $0.token != nil && !keyed.contains($0.token ?? "") }
        for (token, jobs) in Dictionary(grouping: first, by: { $0.token ?? "" }) where Set(jobs.map(\.id)).count > 1 {
            violations.append(
                Violation(
                    property: .onePlace, message: "one enqueue made jobs \(jobs.map(\.id))", jobs: jobs.map(\.id),
                    tokens: [token]))
        }
        return violations
    }

    /// Tokens of enqueues with keys: `again` makes further jobs with the same arguments.
    private var keyedTokens: Set<String> {
        Set(enqueues.lazy.filter { $0.wanted.key != nil }.map(\.wanted.token))
    }

    func rolledBackRuns() -> [Violation] {
        var violations: [Violation] = []
        let jobs = Dictionary(grouping: state.jobs, by: { $0.token ?? "" })
        let starts = Set(holdings.values.lazy.flatMap { $0 }.compactMap(\.start.token))
        let facts = Set(state.facts.map(\.token))
        for enqueue in enqueues where enqueue.verdict == .rolledBack {
            let token = enqueue.wanted.token
            if starts.contains(token) || jobs[token] != nil || facts.contains(token) {
                violations.append(
                    Violation(
                        property: .rolledBackNeverRuns,
                        message: "an enqueue that was rolled back is there or ran", jobs: jobs[token]?.map(\.id) ?? [],
                        tokens: [token]))
            }
        }
        return violations
    }

    func badEffects() -> [Violation] {
        var violations: [Violation] = []
        func bad(_ message: String, _ job: Int64) {
            violations.append(Violation(property: .effectOnce, message: message, jobs: [job]))
        }
        let effects = Dictionary(grouping: state.effects, by: \.job)
        for (job, rows) in effects.sorted(by: { $0.key < $1.key }) {
            let final = rows.count(where: \.final)
            if final > 1 { bad("job \(job) has its effect \(final) times", job) }
            for (attempt, steps) in Dictionary(grouping: rows.filter { !$0.final }, by: \.attempt) where steps.count > 1
            {
                bad("job \(job) has the effect of attempt \(attempt) \(steps.count) times", job)
            }
            if final > 0, places[job]?.contains(where: { $0.state == "completed" }) != true {
                bad("job \(job) has its effect and is not completed", job)
            }
        }
        for (job, runs) in holdings {
            guard let kind = runs.first?.start.kind, kind == .effect || kind == .keyed && job % 2 == 0,
                places[job]?.contains(where: { $0.state == "completed" }) == true
            else { continue }
            if effects[job]?.contains(where: \.final) != true { bad("job \(job) is completed without its effect", job) }
        }
        let fenced = Set(state.fenced)
        for job in state.jobs where job.state == "completed" {
            guard let start = holdings[job.id]?.first?.start, start.kind == .fenced, let token = start.token else {
                continue
            }
            if !fenced.contains(token) { bad("job \(job.id) is completed without its effect", job.id) }
        }
        return violations
    }

    func doubleSettles() -> [Violation] {
        holdings.sorted { $0.key < $1.key }.compactMap { job, runs in
            let settled = runs.filter { $0.ending == .settledDone || $0.ending == .fencedMine }
            guard settled.count > 1 else { return nil }
            return Violation(
                property: .oneHolderSettles,
                message: "job \(job) was settled by leases \(settled.map(\.start.lease))", jobs: [job])
        }
    }

    func brokenCancels() -> [Violation] {
        entries.compactMap { entry in
            guard case .cancelAnswered(let job, "cancelled") = entry.fact else { return nil }
            let ranLater = holdings[job]?.contains { $0.at > entry.at } ?? false
            let isCancelled = places[job]?.allSatisfy { $0.state == "cancelled" } ?? false
            if !ranLater, isCancelled { return nil }
            return Violation(
                property: .cancelHolds,
                message: ranLater ? "job \(job) ran after its cancel" : "job \(job) was cancelled and is not",
                jobs: [job])
        }
    }

    func leftovers() -> [Violation] {
        // Jobs that did not end keep theirs, and are told of as lost.
        guard state.jobs.allSatisfy(\.hasEnded) else { return [] }
        return state.leftovers.map { Violation(property: .nothingLeftBehind, message: "left behind: \($0)") }
    }
}
