/// What is to become of a job that was run.
package enum JobOutcome: Sendable, Hashable {
    /// Done. Kept in the history for days.
    case complete
    /// Again, after a time; uses an attempt, and the last attempt discards instead. `after` nil: the kind's backoff with
    /// full jitter.
    case retry(error: JobFailure, after: Duration? = nil)
    /// Again, after a time; uses no attempt.
    case snooze(Duration)
    /// Not again; kept until a person decides.
    case discard(error: JobFailure)
    /// Not wanted any more. Kept in the history for months.
    case cancel
    /// Back into line at once, for another worker; uses no attempt.
    case giveBack
    /// The handler has settled it in a transaction that is committed.
    case settled

    /// The value of the label `outcome` of metrics.
    var label: String {
        switch self {
        case .complete: "complete"
        case .retry: "retry"
        case .snooze: "snooze"
        case .discard: "discard"
        case .cancel: "cancel"
        case .giveBack: "give_back"
        case .settled: "settled"
        }
    }
}

/// The error of one attempt, as kept with the job and shown to operators. Never holds a secret.
package struct JobFailure: Sendable, Hashable {
    /// A short name to group by, such as the error's type.
    package let type: String
    /// A sentence for people, at most 2 KiB; longer ones are cut.
    package let message: String

    package init(type: String, message: String) {
        self.type = type.prefix(utf8: 200)
        self.message = message.prefix(utf8: 2048)
    }

    /// An error that a handler threw.
    package init(_ error: any Error) {
        self.init(type: String(describing: Swift.type(of: error)), message: String(describing: error))
    }
}

extension String {
    /// The longest beginning of whole characters within `limit` bytes, without zero characters, which Postgres cannot
    /// store.
    func prefix(utf8 limit: Int) -> String {
        let clean = utf8.contains(0) ? String(unicodeScalars.filter { $0.value != 0 }) : self
        guard clean.utf8.count > limit else { return clean }
        var end = clean.utf8.index(clean.startIndex, offsetBy: limit)
        while end.samePosition(in: clean) == nil { end = clean.utf8.index(before: end) }
        return String(clean[..<end])
    }
}
