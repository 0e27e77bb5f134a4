import Pacing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Settlement {
    /// What to write for `outcome`; nil for `.settled`. The last attempt's retry is a discard.
    init?(_ outcome: JobOutcome, of job: LeasedJob, backoff: Backoff) {
        switch outcome {
        case .complete: self = .completed
        case .retry(let error, let after):
            if job.attempt >= job.maximumAttempts {
                self.init(act: 5, delay: 0, note: error.json)
            } else {
                let delay = after ?? backoff.delay(failures: job.attempt)
                self.init(act: 1, delay: Self.bounded(delay), note: error.json)
            }
        case .snooze(let duration): self.init(act: 2, delay: Self.bounded(duration), note: nil)
        case .discard(let error): self.init(act: 5, delay: 0, note: error.json)
        case .cancel: self.init(act: 6, delay: 0, note: nil)
        case .giveBack: self = .givenBack
        case .settled: return nil
        }
    }

    /// Seconds, at most a hundred years: a time that Postgres cannot hold would make the settle fail for ever.
    private static func bounded(_ delay: Duration) -> Double { min(max(0, delay.seconds), 100 * 365.25 * 86_400) }

    /// Out of everybody's way: `kind` or `limit` until that pause is lifted, `wait` until the key has room.
    static func parked(reason: String, key: String) -> Settlement {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Two strings always encode.
        let note = (try? encoder.encode(["reason": reason, "key": key])).map { [UInt8]($0) }
        return Settlement(act: 3, delay: 0, note: note)
    }

    /// Again later, without an attempt, and why.
    static func snoozed(_ duration: Duration, because failure: JobFailure) -> Settlement {
        Settlement(act: 2, delay: duration.seconds, note: failure.json)
    }
}

extension JobFailure {
    /// `{"type": …, "message": …}`.
    var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Two strings always encode.
        return (try? encoder.encode(["type": type, "message": message])).map { [UInt8]($0) } ?? Array("{}".utf8)
    }
}
