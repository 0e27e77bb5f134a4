import Foundation
import Pacing

extension HostHealth {
    /// One account's word is evidence: a customer's administrator may have removed the app from his directory
    /// (AADSTS700016). A probe, or a second account with nobody served since the first fault, makes it a quarantine.
    mutating func moveQuarantine(
        _ report: HealthReport, at now: Date, _ settings: HealthSettings
    ) -> [HealthEffect] {
        if let served = report.servedAt {
            if let since = quarantinedAt, served > since {
                clearQuarantine()
                clearFault()
                return [.resumed(since: since)]
            }
            if let faultAt, served > faultAt { clearFault() }
        }
        for fault in report.faults {
            lastTrouble = fault.reason
            lastTroubleAt = now
            if quarantinedAt != nil {
                quarantineTrials = 0
                continue
            }
            // Somebody was served by an attempt that began later: this account's own matter.
            if let servedAt, servedAt >= fault.at { continue }
            let isFresh = faultAt.map { abs(fault.at.timeIntervalSince($0)) <= settings.faultMemory.seconds } ?? false
            if isFresh, let faultVoice {
                if faultVoice != fault.voice { faultAgreed = true }
            } else {
                faultVoice = fault.voice
                faultAt = fault.at
                faultSeenAt = now
                faultReason = fault.reason
                faultAgreed = false
                quarantineProbeAt = now
            }
        }
        return settleFault(at: now, settings)
    }

    mutating func tendQuarantine(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        let begun = settleFault(at: now, settings)
        if !begun.isEmpty { return begun }
        if quarantinedAt == nil, let faultAt, faultAt.addingTimeInterval(settings.faultMemory.seconds) <= now {
            clearFault()
        }
        guard let due = quarantineProbeAt, due <= now else { return [] }
        quarantineProbeAt = quarantinedAt == nil ? nil : now.addingTimeInterval(settings.quarantineProbe.seconds)
        return [.probe]
    }

    mutating func probedQuarantine(
        _ finding: ProbeFinding, at now: Date, _ settings: HealthSettings
    ) -> [HealthEffect] {
        if quarantinedAt != nil {
            switch finding {
            case .alive: quarantineTrials = settings.trials
            case .reachable: quarantineTrials = 1
            case .appFault, .down: quarantineTrials = 0
            }
            return quarantineTrials > 0 ? [.kick(quarantineTrials)] : []
        }
        guard finding == .appFault, faultVoice != nil else { return [] }
        return quarantine(at: now, settings)
    }

    /// The app was suspended without a row that says so.
    package mutating func adoptSuspension(since: Date, at now: Date) {
        guard quarantinedAt == nil else { return }
        quarantinedAt = since
        quarantineProbeAt = now
    }

    /// A new client secret is there to be tried.
    package mutating func secretChanged(to version: Int64, at now: Date) {
        if probedSecret != nil, probedSecret != version, quarantinedAt != nil { quarantineProbeAt = now }
        probedSecret = version
    }

    /// The app as a whole is served again: so is each of its endpoints that was refused.
    package mutating func resumeWithApp() {
        clearQuarantine()
        clearFault()
    }

    private mutating func settleFault(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        guard quarantinedAt == nil, faultAgreed, let faultSeenAt,
            now >= faultSeenAt.addingTimeInterval(settings.faultSettle.seconds)
        else { return [] }
        return quarantine(at: now, settings)
    }

    private mutating func quarantine(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        quarantinedAt = now
        quarantineTrials = 0
        quarantineProbeAt = now.addingTimeInterval(settings.quarantineProbe.seconds)
        return [.quarantined(reason: faultReason ?? "refused")]
    }

    mutating func clearQuarantine() {
        quarantinedAt = nil
        quarantineProbeAt = nil
        quarantineTrials = 0
    }

    mutating func clearFault() {
        (faultVoice, faultAt, faultSeenAt, faultReason) = (nil, nil, nil, nil)
        faultAgreed = false
        if quarantinedAt == nil { quarantineProbeAt = nil }
    }
}
