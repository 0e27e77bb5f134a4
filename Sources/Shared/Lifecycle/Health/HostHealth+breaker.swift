import Foundation
import Pacing

extension HostHealth {
    /// What an attempt may do here now.
    package enum Gate: Sendable, Equatable {
        case pass
        /// Only with a trial claimed: ``claimTrial()``.
        case trial
        case blocked(until: Date)
        case open(since: Date)
        case quarantined(since: Date)
    }

    package func gate(at now: Date) -> Gate {
        if let blockedUntil, blockedUntil > now { return .blocked(until: blockedUntil) }
        if breaker == .open { return .open(since: openedAt ?? breakerSince ?? now) }
        if let quarantinedAt { return quarantineTrials > 0 ? .trial : .quarantined(since: quarantinedAt) }
        if breaker == .halfOpen { return trials > 0 ? .trial : .open(since: openedAt ?? now) }
        return .pass
    }

    /// Takes one of the trials; false when there is none.
    package mutating func claimTrial() -> Bool {
        if breaker == .open { return false }
        if quarantinedAt != nil {
            guard quarantineTrials > 0 else { return false }
            quarantineTrials -= 1
            return true
        }
        guard breaker == .halfOpen else { return true }
        guard trials > 0 else { return false }
        trials -= 1
        return true
    }

    /// How long a connection that was held waits: a quarter of the trouble's age, and up to twice that by `chance`.
    package static func recheck(since: Date, at now: Date, chance: Double, settings: HealthSettings) -> Duration {
        let quarter = Duration.seconds(max(0, now.timeIntervalSince(since)) / 4)
        return min(max(quarter, settings.recheckBase), settings.recheckCap) * (1 + chance)
    }

    mutating func moveBreaker(
        _ report: HealthReport, at now: Date, _ settings: HealthSettings, _ needsTwoVoices: Bool
    ) -> [HealthEffect] {
        for limit in report.limits { heed(limit, at: now, settings) }
        switch breaker {
        case .closed:
            let sums = sums
            let all = sums.served + sums.refused + sums.other + sums.troubles
            let hasRun = run >= settings.breakerRun && (!needsTwoVoices || runVoices.count > 1)
            let hasRate =
                sums.troubles >= settings.breakerCount && Double(sums.troubles) >= settings.breakerRate * Double(all)
            guard hasRun || hasRate else { return [] }
            breaker = .open
            breakerSince = now
            openedAt = now
            canaries = 0
            nextCanaryAt = now.addingTimeInterval(settings.canaryInterval(after: 0).seconds)
            return [.breakerOpened]
        case .open:
            guard let answered = report.answeredAt, let breakerSince, answered > breakerSince else { return [] }
            return halfOpen(at: now, settings)
        case .halfOpen:
            guard let breakerSince else { return [] }
            if let trouble = report.troubleAt, trouble >= breakerSince, trouble > report.answeredAt ?? .distantPast {
                reopen(at: now, settings)
                return []
            }
            if let answered = report.answeredAt, answered >= breakerSince {
                trialsGood += max(1, report.answers)
                if trialsGood >= settings.trials { return [close(at: now)] }
            }
            return []
        }
    }

    mutating func tendBreaker(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        switch breaker {
        case .closed: return []
        case .open:
            guard (nextCanaryAt ?? now) <= now, (blockedUntil ?? now) <= now else { return [] }
            canaries += 1
            nextCanaryAt = now.addingTimeInterval(settings.canaryInterval(after: canaries).seconds)
            return [.probe]
        case .halfOpen:
            guard (trialsUntil ?? now) <= now else { return [] }
            if trialsGood > 0 { return [close(at: now)] }
            trials = settings.trials
            trialsUntil = now.addingTimeInterval(settings.trialPeriod.seconds)
            return [.kick(settings.trials)]
        }
    }

    mutating func halfOpen(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        breaker = .halfOpen
        breakerSince = now
        trials = settings.trials
        trialsGood = 0
        trialsUntil = now.addingTimeInterval(settings.trialPeriod.seconds)
        return [.kick(settings.trials)]
    }

    /// The episode goes on: no second event.
    mutating func reopen(at now: Date, _ settings: HealthSettings) {
        breaker = .open
        breakerSince = now
        canaries += 1
        nextCanaryAt = now.addingTimeInterval(settings.canaryInterval(after: canaries).seconds)
    }

    mutating func close(at now: Date) -> HealthEffect {
        let since = openedAt ?? breakerSince ?? now
        breaker = .closed
        breakerSince = nil
        openedAt = nil
        nextCanaryAt = nil
        (canaries, trials, trialsGood) = (0, 0, 0)
        trialsUntil = nil
        clearRun()
        for index in slices.indices { slices[index].troubles = 0 }
        return .breakerClosed(since: since)
    }

    /// One connection's limit is its own (Zoho counts by grant); a second that is limited too makes it the endpoint's.
    private mutating func heed(_ limit: HealthReport.Limit, at now: Date, _ settings: HealthSettings) {
        guard limit.until > now else { return }
        if let voice = limitVoice, voice != limit.voice, let until = limitUntil, until > now {
            let end = min(max(until, limit.until), now.addingTimeInterval(settings.blockCap.seconds))
            blockedUntil = max(blockedUntil ?? end, end)
        }
        if limit.until > limitUntil ?? .distantPast || limitVoice == nil {
            (limitVoice, limitUntil) = (limit.voice, limit.until)
        }
    }
}
