import Foundation
import Pacing

extension HostHealth {
    /// Share of refusals at or below which others count as calm.
    private static let calmShare = 0.1

    mutating func moveWave(_ report: HealthReport, at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        let sums = sums
        let answers = sums.served + sums.refused + sums.other
        let share = answers == 0 ? 0 : Double(sums.refused) / Double(answers)
        guard let since = waveSince else {
            let isLarge = sums.refused > settings.waveCount && share > settings.waveRate
            let isSmall = sums.refused >= settings.waveSmallCount && share > settings.waveSmallRate
            guard isLarge || isSmall else { return [] }
            waveSince = now
            waveUntil = now.addingTimeInterval(settings.waveHold.seconds)
            waveProbeAt = now.addingTimeInterval(settings.waveProbe.seconds)
            waveCalmSince = nil
            waveProofs = 0
            return [.waveBegan(refused: sums.refused, answers: answers)]
        }
        if report.retestsRefused > 0 {
            waveProofs = 0
        } else {
            waveProofs += report.retestsServed
        }
        if waveProofs >= settings.waveProofs { return [endWave(since: since, .disproved)] }
        noteCalm(at: now, settings)
        return []
    }

    mutating func tendWave(at now: Date, _ settings: HealthSettings) -> [HealthEffect] {
        guard let since = waveSince else { return [] }
        if let decision = decidesWaveAt(settings), decision <= now { return [endWave(since: since, .patience)] }
        noteCalm(at: now, settings)
        if let calm = waveCalmSince, now.timeIntervalSince(calm) >= settings.waveCalm.seconds {
            return [endWave(since: since, .calm)]
        }
        guard (waveProbeAt ?? now) <= now else { return [] }
        waveProbeAt = now.addingTimeInterval(settings.waveProbe.seconds)
        return [.tryHeld]
    }

    /// From then on the held are tested again, so that each is told within the hold.
    package func decidesWaveAt(_ settings: HealthSettings) -> Date? {
        waveSince.map { $0.addingTimeInterval(settings.waveDecision.seconds) }
    }

    mutating func endWave(since: Date, _ why: WaveEnd) -> HealthEffect {
        waveSince = nil
        waveUntil = nil
        waveProbeAt = nil
        waveCalmSince = nil
        waveProofs = 0
        // The same refusals do not begin another.
        for index in slices.indices { slices[index].refused = 0 }
        return .waveEnded(since: since, why)
    }

    private mutating func noteCalm(at now: Date, _ settings: HealthSettings) {
        let sums = sums
        let answers = sums.served + sums.refused + sums.other
        let isCalm =
            sums.served >= settings.waveSmallCount && Double(sums.refused) <= Self.calmShare * Double(answers)
        waveCalmSince = isCalm ? waveCalmSince ?? now : nil
    }
}
