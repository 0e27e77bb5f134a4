extension Checker {
    /// Everything that is known of a violation's jobs, keys and tokens, in order, and what disturbed the run meanwhile.
    func story(of violation: Violation) -> [String] {
        var jobs = Set(violation.jobs)
        let tokens = Set(violation.tokens)
        for job in state.jobs where tokens.contains(job.token ?? "") { jobs.insert(job.id) }
        guard !jobs.isEmpty || !violation.keys.isEmpty || !tokens.isEmpty else { return [] }
        let all = Set(jobs.flatMap { holdings[$0] ?? [] }.compactMap(\.start.token)).union(tokens)
            .union(state.jobs.filter { jobs.contains($0.id) }.compactMap(\.token))
        let workers = Set(jobs.flatMap { holdings[$0] ?? [] }.map(\.start.worker))
        let names = Set(jobs.flatMap { holdings[$0] ?? [] }.map(\.by))
        let keys = Set(violation.keys)
        var mine = entries.filter { concerns($0.fact, jobs, keys, all) }
            .map { (at: $0.at, text: "\($0.by): \($0.fact.text)") }
        mine += state.deaths.filter { workers.contains($0.worker) }
            .map { (at: $0.at, text: "database: worker \($0.worker) is declared dead") }
        // What happened around it: within two seconds of one of its own lines.
        let times = mine.map(\.at)
        let around = entries.filter { entry in
            isAround(entry, names) && times.contains { abs($0 - entry.at) < 2_000_000_000 }
        }.map { (at: $0.at, text: "\($0.by): \($0.fact.text)") }
        let zero = entries.first?.at ?? 0
        return (mine + around).sorted { $0.at < $1.at }.prefix(300).map { "\(Self.time($0.at - zero))  \($0.text)" }
            + places(of: jobs)
    }

    private func places(of jobs: Set<Int64>) -> [String] {
        jobs.sorted().flatMap { job in
            let rows = (places[job] ?? []).map { row in
                "at the end: job \(job) is \(row.state), attempt \(row.attempt)"
                    + (row.crashes.map { ", \($0) crashes" } ?? "")
            }
            let effects = state.effects.filter { $0.job == job }.map { effect in
                "at the end: job \(job) has an effect of attempt \(effect.attempt), lease \(effect.lease), worker "
                    + "\(effect.worker)\(effect.final ? "" : ", to be tried again")"
            }
            return (rows.isEmpty ? ["at the end: job \(job) is nowhere"] : rows) + effects
        }
    }

    private func concerns(
        _ fact: Fact, _ jobs: Set<Int64>, _ keys: Set<String>, _ tokens: Set<String>
    ) -> Bool {
        switch fact {
        case .started(let start): jobs.contains(start.job) || start.key.map(keys.contains) ?? false
        case .settling(let job, _): jobs.contains(job)
        case .finished(let finish): jobs.contains(finish.job)
        case .asked(_, let wanted):
            wanted.contains { tokens.contains($0.token) || $0.key.map(keys.contains) ?? false }
        case .answered(_, _, let answers):
            answers.contains { tokens.contains($0.token) || $0.job.map(jobs.contains) ?? false }
        case .cancelAsked(let job), .cancelAnswered(let job, _): jobs.contains(job)
        case .process, .disturbs, .restores, .backlog, .logged: false
        }
    }

    /// Disturbances, and what befell and was logged by the processes that held it.
    private func isAround(_ entry: Entry, _ names: Set<String>) -> Bool {
        switch entry.fact {
        case .disturbs, .restores: true
        case .process(let name, _, _): names.contains(name)
        case .logged: names.contains(entry.by)
        default: false
        }
    }

    /// Seconds since the run's beginning.
    private static func time(_ nanoseconds: Int64) -> String {
        let microseconds = max(0, nanoseconds / 1000)
        let fraction = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}

extension Fact {
    /// A line for people.
    var text: String {
        switch self {
        case .asked(let call, let jobs):
            "call \(call) asks for "
                + jobs.map { "\($0.kind) \($0.token)\($0.key.map { " under key \($0)" } ?? "")" }.joined(
                    separator: ", ")
        case .answered(let call, let verdict, let jobs):
            "call \(call) \(verdict): "
                + jobs.map { "\($0.token) is job \($0.job.map(String.init) ?? "?") (\($0.outcome))" }
                .joined(separator: ", ")
        case .cancelAsked(let job): "asks to cancel job \(job)"
        case .cancelAnswered(let job, let result): "cancel of job \(job): \(result ?? "failed")"
        case .started(let start):
            "starts job \(start.job) (\(start.kind)\(start.key.map { ", key \($0)" } ?? "")), attempt \(start.attempt), "
                + "\(start.crashes) crashes, lease \(start.lease) of worker \(start.worker)"
        case .settling(let job, let lease): "settles job \(job), lease \(lease)"
        case .finished(let finish):
            "ends job \(finish.job), lease \(finish.lease): \(finish.ending)"
                + (finish.saw.isEmpty ? "" : "; saw \(finish.saw.joined(separator: ", "))")
        case .disturbs(let what): "nemesis \(what.nemesis) meets \(what.target)"
        case .restores(let what): "nemesis \(what.nemesis) leaves \(what.target)"
        case .process(let name, let event, let status): "\(name) \(event)\(status.map { " with status \($0)" } ?? "")"
        case .backlog(let urgent, let bulk): "\(urgent) urgent and \(bulk) bulk jobs wait"
        case .logged(let level, let message, let fields): "\(level): \(message) \(fields)"
        }
    }
}
