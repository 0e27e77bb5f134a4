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
                if crashes < 0 || !(0...1).contains(used) || !isRight(before, used: used, crashes: crashes) {
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
    private func isRight(_ holding: Holding, used: Int, crashes: Int) -> Bool {
        switch holding.ending {
        // Settled within its transaction: nothing else can have become of it.
        case .settledRetry: used == 1
        // Over: it can only run again if its outcome was not written before its worker was declared dead.
        case .completed, .discarded, .cancelled: used == 0 && crashes > 0
        case .settledDone, .fencedMine: false
        case .fencedLost: used == 0 && crashes > 0
        // Written, or lost with the worker.
        case .retried, .threw: used == 1 || crashes > 0
        case .snoozed, .gaveBack, .lost: used == 0
        // Of a settle that was under way the answer may have been lost.
        case .stopped: used == 0 || holding.settlingAt != nil
        case nil: used == 0 && crashes > 0 || used == 1 && holding.settlingAt != nil
        }
    }
}
