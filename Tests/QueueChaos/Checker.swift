/// Judges a run by its histories and its tables. Pure: the same input gives the same verdict.
struct Checker: Sendable {
    /// One job in the hands of one handler.
    struct Holding: Sendable {
        let start: Start
        let at: Int64
        let by: String
        var settlingAt: Int64?
        var finish: Finish?
        var finishedAt: Int64?

        /// From when it works no more: its settle, of which it may hear late or never, or its end. nil: never seen.
        var overAt: Int64? { settlingAt ?? finishedAt }

        var ending: Ending? { finish?.ending }
    }

    let entries: [Entry]
    let state: FinalState
    /// In the order of leases, which is that of claims.
    let holdings: [Int64: [Holding]]
    /// When each worker was declared dead.
    let deaths: [Int64: Int64]
    let places: [Int64: [FinalState.Job]]
    /// Every job that was asked for, with what its enqueuer knows of it.
    let enqueues: [Enqueue]
    /// When workers were told to drain.
    let drains: [(by: String, at: Int64)]
    let rules: Rules

    /// What the run was made with.
    struct Rules: Sendable {
        var pace = Pace()
        /// What is limited; empty: nothing, and nothing is proved of limits.
        var limits: [LimitRule] = []
    }

    init(entries: [Entry], state: FinalState, rules: Rules = Rules()) {
        self.entries = entries
        self.rules = rules
        self.state = state
        struct Hold: Hashable {
            let job: Int64
            let lease: Int64
        }
        var open: [Hold: Holding] = [:]
        for entry in entries {
            switch entry.fact {
            case .started(let start):
                open[Hold(job: start.job, lease: start.lease)] = Holding(start: start, at: entry.at, by: entry.by)
            case .settling(let job, let lease): open[Hold(job: job, lease: lease)]?.settlingAt = entry.at
            case .finished(let finish):
                open[Hold(job: finish.job, lease: finish.lease)]?.finish = finish
                open[Hold(job: finish.job, lease: finish.lease)]?.finishedAt = entry.at
            default: break
            }
        }
        holdings = Dictionary(grouping: open.values, by: \.start.job)
            .mapValues { $0.sorted { $0.start.lease < $1.start.lease } }
        deaths = Dictionary(state.deaths.map { ($0.worker, $0.at) }, uniquingKeysWith: min)
        places = Dictionary(grouping: state.jobs, by: \.id)
        enqueues = Self.enqueues(in: entries)
        drains = entries.compactMap { entry in
            if case .process(let name, .drains, _) = entry.fact { (name, entry.at) } else { nil }
        }
    }

    /// All violations, at most `limit` of each property told with their history; the number of each in `counts`.
    func judge(limit: Int = 5) -> (violations: [Violation], counts: [Property: Int]) {
        let all = [
            lostJobs(), misplacedJobs(), rolledBackRuns(), badEffects(), doubleSettles(), sharedKeys(), unseenWakeUps(),
            lateUrgent(), brokenLimits(), miscounts(), costlyDrains(), outageDeaths(), brokenCancels(), leftovers(),
            unsoundProcesses(),
        ].flatMap { $0 }
        var told: [Violation] = []
        let groups = Dictionary(grouping: all, by: \.property)
        for property in Property.allCases {
            for var violation in (groups[property] ?? []).prefix(limit) {
                violation.history = story(of: violation)
                told.append(violation)
            }
        }
        return (told, groups.mapValues(\.count))
    }

    // MARK: Enqueues

    struct Enqueue: Sendable {
        let wanted: Wanted
        /// nil: its process did not live to hear.
        var verdict: Verdict?
        var answer: Answer?
    }

    private static func enqueues(in entries: [Entry]) -> [Enqueue] {
        struct Call: Hashable {
            let by: String
            let number: Int
        }
        var calls: [Call: [Enqueue]] = [:]
        for entry in entries {
            switch entry.fact {
            case .asked(let number, let jobs):
                calls[Call(by: entry.by, number: number)] = jobs.map { Enqueue(wanted: $0) }
            case .answered(let number, let verdict, let answers):
                let answers = Dictionary(answers.map { ($0.token, $0) }, uniquingKeysWith: { $1 })
                calls[Call(by: entry.by, number: number)]?.modify { enqueue in
                    enqueue.verdict = verdict
                    enqueue.answer = answers[enqueue.wanted.token]
                }
            default: break
            }
        }
        return calls.values.flatMap { $0 }
    }

    /// R of a holding: attempts that settles have used up, without those that crashes have.
    func settledAttempts(_ start: Start) -> Int { start.attempt - 1 - max(0, start.crashes - 2) }

    func wasDeclaredDead(_ worker: Int64, before time: Int64) -> Bool { deaths[worker].map { $0 <= time } ?? false }
}

extension Array {
    fileprivate mutating func modify(_ body: (inout Element) -> Void) { for index in indices { body(&self[index]) } }
}
