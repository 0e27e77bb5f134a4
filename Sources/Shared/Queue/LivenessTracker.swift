import Pacing

/// Decides from what an observer read which workers are dead. Pure: time comes in with each reading.
///
/// Dead is whose beat stood still for `patience` of the observer's own boot-time clock, over readings at most `gap` apart,
/// each of which carried the observer's own beat, on one and the same server. Any gap starts all over: a paused pooler, a
/// frozen backend, a failover or a suspended observer break no session and would otherwise kill the whole fleet at once.
/// Times of workers or of the database are never compared.
struct LivenessTracker: Sendable {
    struct Reading: Sendable {
        /// When the statement was sent and when its answer was here.
        let sent: BootInstant
        let answered: BootInstant
        /// Start time and timeline of the server.
        let server: String
        let beats: [Int64: Int64]
    }
    struct Verdict: Sendable, Hashable {
        let workerID: Int64
        let beat: Int64
    }

    private let patience: Duration
    private let gap: Duration
    private var last: (sent: BootInstant, server: String)?
    private var seen: [Int64: (beat: Int64, since: BootInstant)] = [:]

    init(patience: Duration, gap: Duration) {
        self.patience = patience
        self.gap = gap
    }

    /// Forgets everything: a reading failed, or did not carry the own beat.
    mutating func startOver() {
        last = nil
        seen = [:]
    }

    /// Takes in a reading and returns who is dead by it.
    mutating func take(_ reading: Reading) -> [Verdict] {
        // From the earlier one's sending to this one's answer, so that time spent inside a reading counts.
        if let last, last.server != reading.server || last.sent.duration(to: reading.answered) > gap { startOver() }
        if reading.sent.duration(to: reading.answered) > gap { startOver() }
        last = (reading.sent, reading.server)
        seen = seen.filter { reading.beats[$0.key] != nil }
        var dead: [Verdict] = []
        for (workerID, beat) in reading.beats.sorted(by: { $0.key < $1.key }) {
            guard let known = seen[workerID], known.beat == beat else {
                seen[workerID] = (beat, reading.answered)
                continue
            }
            if known.since.duration(to: reading.sent) >= patience {
                dead.append(Verdict(workerID: workerID, beat: beat))
            }
        }
        return dead
    }
}
