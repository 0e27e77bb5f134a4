/// What is proved of a run, each from the histories and the tables.
enum Property: String, Codable, Sendable, CaseIterable {
    case nothingLost, onePlace, rolledBackNeverRuns, effectOnce, oneHolderSettles, keyRunsAlone, wakeUpSeen
    case urgentFirst, limitsKept, attemptsCounted, drainIsFree, outageSpares, cancelHolds, nothingLeftBehind
    case processesSound

    var sentence: String {
        switch self {
        case .nothingLost: "every job whose enqueue committed ended: completed, discarded or cancelled"
        case .onePlace: "every job is in one place, and ended once"
        case .rolledBackNeverRuns: "no job of a rolled-back enqueue was there or ran"
        case .effectOnce: "every effect that was settled in its transaction is there once, and only with its settle"
        case .oneHolderSettles: "no two holders of a job both settled it"
        case .keyRunsAlone: "no two jobs of a unique key ran at once, unless the first one's worker was declared dead"
        case .wakeUpSeen: "every committed wake-up of a unique key was seen by a run that followed it"
        case .urgentFirst: "while urgent and bulk jobs waited, urgent ones had their reserved share of every claim"
        case .limitsKept: "no limit key ever had more jobs running than it allows"
        case .attemptsCounted: "attempts and crashes were counted right, a crash as an attempt from the third on"
        case .drainIsFree: "a worker that ended in order lost no job and used no attempt"
        case .outageSpares:
            "nobody was declared dead while nobody reached the database, nor sooner after than the patience"
        case .cancelHolds: "a waiting job that was cancelled never ran after the answer"
        case .nothingLeftBehind: "no lease, mark, key, wish or cancel was left when the queue was empty"
        case .processesSound: "every process ended in order, or because it was killed"
        }
    }
}

/// A property that does not hold, and what shows it.
struct Violation: Codable, Sendable {
    let property: Property
    let message: String
    /// The jobs, keys and tokens it is about.
    var jobs: [Int64] = []
    var keys: [String] = []
    var tokens: [String] = []
    /// What happened to them, in order; filled in at the end.
    var history: [String] = []
}
