import Foundation
import Pacing

// What the fleet knows of one token endpoint of an OAuth app, and what follows from it. A value that decides and does
// no I/O: reports go in, effects come out; the row of `evergrant.token_hosts` keeps it, and its lock orders changes.
//
//   breaker     closed ──troubles──> open ──canary answered──> half open ──trials answered──> closed
//                                     ▲                            │
//                                     └──────────trouble───────────┘
//   quarantine  evidence of one account ──a probe or a second account agrees──> quarantined ──an attempt served──> over
//   wave        many refused at once ──> held ──held ones served, or others calm, or patience over──> all tested again
//
// Each part is in a file of its own: HostHealth+breaker, +quarantine, +wave.

/// What a change of ``HostHealth`` asks to be done.
package enum HealthEffect: Sendable, Equatable {
    case breakerOpened
    case breakerClosed(since: Date)
    /// The provider refuses the OAuth app, and more than one account's word says so.
    case quarantined(reason: String)
    case resumed(since: Date)
    case waveBegan(refused: Int, answers: Int)
    case waveEnded(since: Date, WaveEnd)
    /// Ask the endpoint something that spends nothing.
    case probe
    /// Make a few of those who wait due, so that trials have takers.
    case kick(Int)
    /// Test one of the held.
    case tryHeld
}

/// Why a wave ended.
package enum WaveEnd: String, Sendable, Hashable {
    /// Held connections were served: the refusals were false.
    case disproved
    /// Others are served and hardly anybody is refused.
    case calm
    /// A verdict is held no longer than this.
    case patience
    /// An operator released it.
    case released
}

/// What a probe found.
package enum ProbeFinding: String, Sendable, Hashable {
    /// A whole answer that does not refuse the OAuth app.
    case alive
    /// A whole answer, which says nothing of the OAuth app.
    case reachable
    case appFault = "app_fault"
    case down
}

package struct HostHealth: Sendable, Equatable {
    package enum Breaker: String, Sendable, Hashable, Codable {
        case closed, open
        case halfOpen = "half_open"
    }

    struct Slice: Sendable, Equatable, Codable {
        var at: Date
        var served = 0
        var refused = 0
        var other = 0
        var troubles = 0
    }

    var slices: [Slice] = []
    var answeredAt: Date?
    var servedAt: Date?
    package internal(set) var lastTrouble: String?
    package internal(set) var lastTroubleAt: Date?
    var run = 0
    var runVoices: Set<String> = []
    /// Start of the latest trouble of the run.
    var runAt: Date?
    /// A connection to probe with.
    package internal(set) var connectionID: Int64?

    package internal(set) var breaker = Breaker.closed
    package internal(set) var breakerSince: Date?
    /// Of the episode, over any number of half-open whiles.
    package internal(set) var openedAt: Date?
    var canaries = 0
    package internal(set) var nextCanaryAt: Date?
    package internal(set) var trials = 0
    var trialsGood = 0
    var trialsUntil: Date?
    package internal(set) var blockedUntil: Date?
    var limitVoice: String?
    var limitUntil: Date?

    package internal(set) var faultVoice: String?
    var faultAt: Date?
    var faultSeenAt: Date?
    var faultAgreed = false
    package internal(set) var faultReason: String?
    package internal(set) var quarantinedAt: Date?
    package internal(set) var quarantineProbeAt: Date?
    package internal(set) var quarantineTrials = 0
    /// Of the client secret that was probed last: a new one is probed at once.
    package internal(set) var probedSecret: Int64?

    package internal(set) var waveSince: Date?
    package internal(set) var waveUntil: Date?
    var waveProbeAt: Date?
    var waveCalmSince: Date?
    var waveProofs = 0

    package init() {}

    /// Takes in what a process saw.
    /// - Parameter needsTwoVoices: this is the app as a whole, whose connections have endpoints of their own: troubles
    ///   count when they come from two of them.
    package mutating func absorb(
        _ report: HealthReport, at now: Date, settings: HealthSettings, needsTwoVoices: Bool = false
    ) -> [HealthEffect] {
        add(report, at: now, settings)
        var effects = moveBreaker(report, at: now, settings, needsTwoVoices)
        effects += moveQuarantine(report, at: now, settings)
        effects += moveWave(report, at: now, settings)
        return effects
    }

    /// Does what has come due. Called at ``tendAt(_:settings:)`` or later.
    package mutating func tend(at now: Date, settings: HealthSettings) -> [HealthEffect] {
        prune(at: now, settings)
        return tendBreaker(at: now, settings) + tendQuarantine(at: now, settings) + tendWave(at: now, settings)
    }

    /// Takes in what a probe found.
    package mutating func probed(
        _ finding: ProbeFinding, at now: Date, settings: HealthSettings
    ) -> [HealthEffect] {
        var effects: [HealthEffect] = []
        if finding != .down, breaker == .open { effects += halfOpen(at: now, settings) }
        if finding == .down, breaker == .halfOpen { reopen(at: now, settings) }
        return effects + probedQuarantine(finding, at: now, settings)
    }

    /// When this has to be tended next; nil when it is at rest.
    package func tendAt(_ now: Date, settings: HealthSettings) -> Date? {
        var moments: [Date?] = [quarantineProbeAt]
        switch breaker {
        case .closed: break
        case .open: moments.append(max(nextCanaryAt ?? now, blockedUntil ?? .distantPast))
        case .halfOpen: moments.append(trialsUntil)
        }
        if let blockedUntil, blockedUntil > now { moments.append(blockedUntil) }
        if waveSince != nil { moments += [waveProbeAt, decidesWaveAt(settings)] }
        if let faultAt, quarantinedAt == nil {
            moments.append(faultAt.addingTimeInterval(settings.faultMemory.seconds))
            if faultAgreed { moments.append(faultSeenAt?.addingTimeInterval(settings.faultSettle.seconds)) }
        }
        if !slices.isEmpty || run > 0 { moments.append(now.addingTimeInterval(settings.window.seconds + 1)) }
        return moments.compactMap(\.self).min()
    }

    /// An operator's word: everything is let through again.
    package mutating func release(at now: Date) -> [HealthEffect] {
        var effects: [HealthEffect] = []
        if let waveSince { effects.append(endWave(since: waveSince, .released)) }
        if breaker != .closed { effects.append(close(at: now)) }
        if let quarantinedAt {
            effects.append(.resumed(since: quarantinedAt))
            clearQuarantine()
        }
        clearFault()
        blockedUntil = nil
        (limitVoice, limitUntil) = (nil, nil)
        clearRun()
        slices = []
        return effects
    }

    // MARK: Counts

    private mutating func add(_ report: HealthReport, at now: Date, _ settings: HealthSettings) {
        let length = max(0.001, settings.window.seconds / 6)
        for (age, counts) in report.counts {
            let moment = now.timeIntervalSinceReferenceDate - age.seconds
            let start = Date(timeIntervalSinceReferenceDate: (moment / length).rounded(.down) * length)
            let index =
                slices.firstIndex { abs($0.at.timeIntervalSince(start)) < length / 2 }
                ?? {
                    slices.append(Slice(at: start))
                    return slices.count - 1
                }()
            slices[index].served += counts.served
            slices[index].refused += counts.refused
            slices[index].other += counts.other
            slices[index].troubles += counts.troubles
        }
        prune(at: now, settings)
        if let answered = report.answeredAt { answeredAt = max(answered, answeredAt ?? answered) }
        if let served = report.servedAt { servedAt = max(served, servedAt ?? served) }
        if let trouble = report.lastTrouble {
            lastTrouble = trouble
            lastTroubleAt = now
        }
        connectionID = report.connectionID ?? connectionID
        // An attempt that began after the last trouble and was answered ends the run.
        if let answered = report.answeredAt, answered > runAt ?? .distantPast { clearRun() }
        guard report.run > 0 else { return }
        run += report.run
        runVoices = Set(runVoices.union(report.runVoices).sorted().prefix(2))
        if let trouble = report.troubleAt { runAt = max(trouble, runAt ?? trouble) }
    }

    private mutating func prune(at now: Date, _ settings: HealthSettings) {
        let oldest = now.addingTimeInterval(-settings.window.seconds - settings.window.seconds / 6)
        slices.removeAll { $0.at < oldest }
        if let lastTroubleAt, lastTroubleAt < oldest, breaker == .closed { clearRun() }
        if let until = limitUntil, until < now { (limitVoice, limitUntil) = (nil, nil) }
        if let until = blockedUntil, until <= now { blockedUntil = nil }
    }

    mutating func clearRun() {
        run = 0
        runVoices = []
        runAt = nil
    }

    /// Of the last window.
    var sums: HealthReport.Counts {
        slices.reduce(into: HealthReport.Counts()) { sum, slice in
            sum.served += slice.served
            sum.refused += slice.refused
            sum.other += slice.other
            sum.troubles += slice.troubles
        }
    }
}
