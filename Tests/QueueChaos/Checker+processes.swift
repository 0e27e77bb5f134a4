extension Checker {
    /// Jobs that a worker held when it was told to drain: they finish, or run elsewhere without an attempt or a crash. Not
    /// judged when the worker had been declared dead, or could not reach the database meanwhile.
    func costlyDrains() -> [Violation] {
        let ends = processEnds
        var violations: [Violation] = []
        for (name, began) in drains {
            guard let (ended, status) = ends[name], status == 0, !wasOut(began - 1_000_000_000, ended) else { continue }
            for (job, runs) in holdings {
                for (place, run) in runs.enumerated()
                where run.by == name && (run.finishedAt ?? .max) >= began && place + 1 < runs.count {
                    let next = runs[place + 1].start
                    if wasDeclaredDead(run.start.worker, before: began) { continue }
                    let used = settledAttempts(next) - settledAttempts(run.start)
                    if next.crashes != run.start.crashes || used > 0 && run.ending == .stopped {
                        violations.append(
                            Violation(
                                property: .drainIsFree,
                                message: "job \(job) was held by \(name) when that drained, and has "
                                    + "\(next.crashes - run.start.crashes) crashes and \(used) attempts more",
                                jobs: [job]))
                    }
                }
            }
        }
        return violations
    }

    /// When each process ended, and how.
    private var processEnds: [String: (at: Int64, status: Int32)] {
        var ends: [String: (at: Int64, status: Int32)] = [:]
        for entry in entries {
            if case .process(let name, .ended, let status?) = entry.fact { ends[name] = (entry.at, status) }
        }
        return ends
    }

    /// Whether anything stood between some process and the database in that time.
    private func wasOut(_ from: Int64, _ to: Int64) -> Bool {
        windows { $0.isOutage || $0 == .verdict }.contains { $0.from <= to && $0.to + 1_000_000_000 >= from }
    }

    /// An outage for everyone starts every observer all over, so it must see a beat stand still for the whole patience after
    /// it. Deaths that the run itself declares, and those of workers on their way out, are not judged.
    func outageDeaths() -> [Violation] {
        let free = windows { $0 == .verdict || $0 == .drain }
        return outages.flatMap { outage in
            state.deaths.filter { death in
                death.at > outage.from && death.at < outage.to
                    && !free.contains { $0.from <= death.at && death.at <= $0.to }
            }.map { death in
                Violation(
                    property: .outageSpares,
                    message: "worker \(death.worker) was declared dead \((death.at - outage.from) / 1_000_000) ms into "
                        + "an outage for everyone or the patience after it",
                    jobs: holdings.values.flatMap { $0 }.filter { $0.start.worker == death.worker }.map(\.start.job))
            }
        }
    }

    /// Outages of everyone that are longer than the gap an observer bears: from when no verdict can be under way any more,
    /// to the patience after their end.
    private var outages: [Window] {
        let gap = Int64(rules.pace.gap) * 1_000_000
        let patience = Int64(rules.pace.patience) * 1_000_000
        return windows { $0 == .cut || $0 == .freeze }
            .filter { $0.to - $0.from > gap + 500_000_000 }
            // What was sent before the gate closed may take the server a while.
            .map { Window(from: $0.from + 500_000_000, to: $0.to + patience - 50_000_000) }
    }

    /// When nemeses of a sort were at work.
    func windows(_ isWanted: (Nemesis) -> Bool) -> [Window] {
        var open: [Disturbance: Int64] = [:]
        var windows: [Window] = []
        for entry in entries {
            switch entry.fact {
            case .disturbs(let what) where isWanted(what.nemesis): open[what] = entry.at
            case .restores(let what):
                if let began = open.removeValue(forKey: what) { windows.append(Window(from: began, to: entry.at)) }
            default: break
            }
        }
        return windows + open.values.map { Window(from: $0, to: entries.last?.at ?? $0) }
    }

    /// Whether the run gave `property` a chance to fail.
    func tries(_ property: Property) -> Bool {
        switch property {
        case .urgentFirst: !urgentWindows.isEmpty
        case .limitsKept: !rules.limits.isEmpty
        case .drainIsFree: !drains.isEmpty
        case .outageSpares: !outages.isEmpty
        case .wakeUpSeen, .keyRunsAlone: !state.facts.isEmpty
        case .cancelHolds: entries.contains { if case .cancelAnswered = $0.fact { true } else { false } }
        default: true
        }
    }

    func unsoundProcesses() -> [Violation] {
        var killed: Set<String> = []
        var asked: Set<String> = []
        return entries.compactMap { entry in
            guard case .process(let name, let event, let status) = entry.fact else { return nil }
            switch event {
            case .killed: killed.insert(name)
            case .drains: asked.insert(name)
            case .ended where !killed.contains(name) && !(asked.contains(name) && status == 0):
                return Violation(
                    property: .processesSound,
                    message: "\(name) ended with status \(status ?? -1)"
                        + (asked.contains(name) ? " after it was told to drain" : " by itself"))
            default: break
            }
            return nil
        }
    }
}
