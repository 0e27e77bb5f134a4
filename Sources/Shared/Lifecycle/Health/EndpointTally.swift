import Foundation
import OAuth
import Pacing
import Store

/// What this process has seen of one endpoint and not told yet. Counting is an addition in memory: a provider without
/// trouble costs the database nothing.
struct EndpointTally: Sendable {
    private var slices: [(start: BootInstant, counts: HealthReport.Counts)] = []
    private var untold = HealthReport()
    /// Troubles since this process last had an answer from it.
    private var run = 0
    private var unclassified: [String: UnclassifiedAnswer] = [:]
    /// Something other than success waits to be told.
    private(set) var isDirty = false
    private(set) var lastUse = BootInstant.now()
    /// Counts outcomes, and those told: callers who must be heard wait for theirs.
    private(set) var noted: UInt64 = 0
    var told: UInt64 = 0
    var flight: Task<Void, any Error>?

    var hasNews: Bool { isDirty || !slices.isEmpty }

    /// - Parameter at: start of the attempt by the database's clock.
    mutating func note(
        _ outcome: EndpointOutcome, voice: String, connectionID: Int64, at: Date, settings: HealthSettings
    ) -> Heard {
        var heard = Heard(othersWereServed: run == 0 && untold.answeredAt != nil)
        noted += 1
        lastUse = .now()
        var counts = HealthReport.Counts()
        switch outcome {
        case .served(let isRetest):
            answered(at)
            untold.servedAt = max(at, untold.servedAt ?? at)
            if isRetest { untold.retestsServed += 1 } else { counts.served = 1 }
        case .refused(let isRetest):
            answered(at)
            heard.isPressing = true
            if isRetest { untold.retestsRefused += 1 } else { counts.refused = 1 }
            isDirty = true
        case .answered:
            answered(at)
            counts.other = 1
        case .appFault(let reason):
            answered(at)
            counts.other = 1
            heard.isPressing = true
            if untold.faults.count < 8, !untold.faults.contains(where: { $0.voice == voice }) {
                untold.faults.append(.init(voice: voice, at: at, reason: reason))
            }
            untold.connectionID = connectionID
            isDirty = true
        case .trouble(let what, let retryAfter):
            counts.troubles = 1
            trouble(what, voice: voice, connectionID: connectionID, at: at)
            if let retryAfter, retryAfter > .zero {
                heard.isPressing = true
                if untold.limits.count < 8 {
                    untold.limits.append(.init(voice: voice, until: at.addingTimeInterval(retryAfter.seconds)))
                }
            }
        case .unclassified(let sample):
            counts.troubles = 1
            trouble(
                "unclassified: \(sample.status) \(sample.code ?? "")", voice: voice, connectionID: connectionID, at: at)
            keep(sample)
        }
        add(counts, settings)
        let troubles = slices.reduce(0) { $0 + $1.counts.troubles }
        if run > 0, run >= settings.breakerRun || troubles >= settings.breakerCount { heard.isPressing = true }
        return heard
    }

    /// Everything untold; the tally is then empty.
    mutating func take(settings: HealthSettings) -> (report: HealthReport, unclassified: [UnclassifiedAnswer]) {
        let now = BootInstant.now()
        var report = untold
        report.counts = slices.map { ($0.start.duration(to: now), $0.counts) }.filter { $0.0 <= settings.window }
        let answers = Array(unclassified.values)
        slices = []
        untold = HealthReport()
        // What was answered is remembered, to know a trouble of one's own.
        untold.answeredAt = report.answeredAt
        unclassified = [:]
        isDirty = false
        return (report, answers)
    }

    /// What could not be told: counts are lost, evidence is kept.
    mutating func giveBack(_ report: HealthReport) {
        untold.faults = report.faults + untold.faults
        untold.limits = report.limits + untold.limits
        untold.run += report.run
        untold.runVoices.formUnion(report.runVoices)
        untold.lastTrouble = untold.lastTrouble ?? report.lastTrouble
        untold.troubleAt = untold.troubleAt ?? report.troubleAt
        isDirty = true
    }

    private mutating func answered(_ at: Date) {
        untold.answeredAt = max(at, untold.answeredAt ?? at)
        run = 0
        untold.run = 0
        untold.runVoices = []
    }

    private mutating func trouble(_ what: String, voice: String, connectionID: Int64, at: Date) {
        run += 1
        untold.run += 1
        if untold.runVoices.count < 2 { untold.runVoices.insert(voice) }
        untold.lastTrouble = String(what.prefix(200))
        untold.troubleAt = max(at, untold.troubleAt ?? at)
        untold.connectionID = connectionID
        isDirty = true
    }

    private mutating func keep(_ sample: AnswerSample) {
        // Numbers in the words make no new shape: times, ids.
        let words = (sample.text ?? "").filter { !$0.isNumber }.prefix(60)
        let shape = "\(sample.status) \(sample.code ?? "-") \(words)"
        let seen = (unclassified[shape]?.seen ?? 0) + 1
        guard unclassified[shape] != nil || unclassified.count < UnclassifiedAnswers.most else { return }
        unclassified[shape] = UnclassifiedAnswer(
            shape: shape, status: sample.status, code: sample.code, sample: sample.text, requestID: sample.requestID,
            seen: seen)
    }

    private mutating func add(_ counts: HealthReport.Counts, _ settings: HealthSettings) {
        let now = BootInstant.now()
        if let last = slices.indices.last, slices[last].start.duration(to: now) < settings.window / 6 {
            slices[last].counts.served += counts.served
            slices[last].counts.refused += counts.refused
            slices[last].counts.other += counts.other
            slices[last].counts.troubles += counts.troubles
        } else {
            slices.removeAll { $0.start.duration(to: now) > settings.window }
            slices.append((now, counts))
        }
    }
}
