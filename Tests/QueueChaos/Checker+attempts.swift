extension Checker {
    /// Follows every job from holding to holding. A holding may be unseen (its worker died or its claim's answer was lost
    /// before a handler began), so crashes may rise by more than one; attempts rise only by what a holder settled, and by
    /// every crash from the third on.
    func miscounts() -> [Violation] {
        var violations: [Violation] = []
        for (job, runs) in holdings.sorted(by: { $0.key < $1.key }) {
            func wrong(_ message: String) {
                violations.append(Violation(property: .attemptsCounted, message: "job \(job): \(message)", jobs: [job]))
            }
            if let first = runs.first, settledAttempts(first.start) != 0 {
                wrong("its first run is attempt \(first.start.attempt) after \(first.start.crashes) crashes")
            }
            for (before, after) in zip(runs, runs.dropFirst()) {
                let used = settledAttempts(after.start) - settledAttempts(before.start)
                let crashes = after.start.crashes - before.start.crashes
                let step =
                    "lease \(before.start.lease) ended \(before.ending?.rawValue ?? "unseen"), lease "
                    + "\(after.start.lease) has \(used) attempts and \(crashes) crashes more"
                if crashes < 0 || !(0...1).contains(used) || !isRight(before.ending, used: used, crashes: crashes) {
                    wrong(step)
                }
                if crashes > 0, !deaths.values.contains(where: { $0 <= after.at }) { wrong(step + ", and nobody died") }
            }
            guard let last = runs.last, let place = places[job]?.first else { continue }
            if place.state == "completed", place.attempt != last.start.attempt {
                wrong("completed as attempt \(place.attempt), but its last run was attempt \(last.start.attempt)")
            }
        }
        return violations
    }

    /// Whether a holding that ended so can be followed by one with so many attempts and crashes more.
    private func isRight(_ ending: Ending?, used: Int, crashes: Int) -> Bool {
        switch ending {
        // Settled within its transaction: nothing else can have become of it.
        case .settledRetry: used == 1
        // Over: it can only run again if its outcome was not written before its worker was declared dead.
        case .completed, .discarded, .cancelled: used == 0 && crashes > 0
        case .settledDone, .fencedMine: false
        case .fencedLost: used == 0 && crashes > 0
        // Written, or lost with the worker.
        case .retried, .threw: used == 1 || crashes > 0
        case .snoozed, .gaveBack, .stopped: used == 0
        case .lost: used == 0
        case nil: used == 0 && crashes > 0
        }
    }

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
        var open: [Disturbance: Int64] = [:]
        for entry in entries {
            switch entry.fact {
            case .disturbs(let what) where what.nemesis.isOutage || what.nemesis == .verdict: open[what] = entry.at
            case .restores(let what):
                if let began = open.removeValue(forKey: what), began <= to, entry.at >= from { return true }
            default: break
            }
        }
        return open.values.contains { $0 <= to }
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
