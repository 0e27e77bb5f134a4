#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Why a job is not running, or that it is: what was read at one moment, in one snapshot.
package struct JobDiagnosis: Sendable {
    package let jobID: Int64
    /// nil: there is no such job, or its history is dropped.
    package let state: JobState?
    package let kind: String?
    package let environmentID: Int64?
    /// By the database's clock. A moment later it may be otherwise.
    package let readAt: Date
    /// All that keeps it from running, what has to end first before what comes after; never empty.
    package let reasons: [JobReason]

    /// The reason that matters most.
    package var reason: JobReason { reasons.first ?? .unknown }

    /// Whether an operator has to do something, or time alone will do.
    package var needsOperator: Bool { reasons.contains(where: \.needsOperator) }
}

/// One reason.
package enum JobReason: Sendable, Hashable {
    /// No such job, or its history is dropped.
    case unknown
    case ended(JobState, at: Date?)
    case discarded(at: Date?, error: String?)
    case running(worker: Int64, name: String?, since: Date?, beatAge: Double)
    /// Its worker was declared dead, or has no row any more; rescue puts it back.
    case awaitingRescue(worker: Int64)
    /// It was cancelled while running and its handler goes on.
    case cancelAsked
    /// Runs once more when it has ended, or is wanted by enqueues whose key a stranger's transaction holds.
    case wantedAgain(at: Date?, wishes: Int)

    case notDue(at: Date, error: String?)
    /// Due, and not put in line yet by a scheduler; `schedulers` beat.
    case awaitingPromotion(dueAt: Date, schedulers: Int)
    case queuePaused(QueueName)
    /// `parked`: held already; else it will be when it is claimed.
    case kindPaused(String, parked: Bool)
    case limitKeyPaused(String, parked: Bool)
    case limitBlocked(key: String, until: Date, because: String)
    /// `position` among the jobs that wait for the key; nil when it is not parked yet.
    case limitFull(key: String, inUse: Int, concurrency: Int, position: Int?)
    case limitRate(key: String, rate: Double, until: Date, position: Int?)
    /// Other jobs wait for the key already, and it will line up behind them.
    case behindWaiting(key: String)
    /// Parked, and nothing holds it any more.
    case returning
    /// Another transaction has its row: an enqueue of its key that has not committed, or a claim under way.
    case held(byProcess: Int32?)
    /// No process that runs jobs has beaten for 20 s.
    case noWorker(lastBeat: Date?)
    case noWorkerKnowsKind(String, workers: Int)
    /// Nothing is in its way but its place; `ahead` are more urgent lanes, at most 20, and `beside` lanes take turns with
    /// its own.
    case inLine(position: Int, isCapped: Bool, ahead: [LaneAhead], beside: Int)

    package struct LaneAhead: Sendable, Hashable {
        package let environmentID: Int64
        package let queue: String
        package let priority: Int16
        /// Counted up to 1,000.
        package let jobs: Int
    }
}

extension JobReason {
    /// Stable; programs switch on it.
    package var code: String {
        switch self {
        case .unknown: "unknown"
        case .ended(let state, _): state.rawValue
        case .discarded: "discarded"
        case .running: "running"
        case .awaitingRescue: "awaiting_rescue"
        case .cancelAsked: "cancel_asked"
        case .wantedAgain: "wanted_again"
        case .notDue: "not_due"
        case .awaitingPromotion: "awaiting_promotion"
        case .queuePaused: "queue_paused"
        case .kindPaused: "kind_paused"
        case .limitKeyPaused: "limit_key_paused"
        case .limitBlocked: "limit_blocked"
        case .limitFull: "limit_full"
        case .limitRate: "limit_rate"
        case .behindWaiting: "behind_waiting"
        case .returning: "returning"
        case .held: "held"
        case .noWorker: "no_worker"
        case .noWorkerKnowsKind: "kind_unknown_to_workers"
        case .inLine: "in_line"
        }
    }

    /// When it ends by itself, as far as is known.
    package var until: Date? {
        switch self {
        case .notDue(let at, _): at
        case .limitBlocked(_, let until, _), .limitRate(_, _, let until, _): until
        case .wantedAgain(let at, _): at
        default: nil
        }
    }

    /// Observers wait as long before they declare a worker dead: seconds.
    static let patience: Double = 20

    /// Time alone does not end it.
    package var needsOperator: Bool {
        switch self {
        // Nobody has declared it dead for so long that nobody is there to do it.
        case .running(_, _, _, let age): age > 3 * Self.patience
        case .discarded, .queuePaused, .kindPaused, .limitKeyPaused, .noWorker, .noWorkerKnowsKind: true
        case .awaitingPromotion(_, let schedulers): schedulers == 0
        case .limitFull(_, _, let concurrency, _): concurrency == 0
        default: false
        }
    }
}
