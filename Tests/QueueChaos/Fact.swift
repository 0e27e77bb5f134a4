/// One thing a process saw or did. Every process writes its own down, in the order of its clock; together they are the
/// history that the checker judges.
enum Fact: Codable, Sendable, Hashable {
    /// An enqueuer is about to ask for jobs; `call` is unique in its process.
    case asked(call: Int, jobs: [Wanted])
    /// It has its answer.
    case answered(call: Int, verdict: Verdict, jobs: [Answer])
    /// A cancel of a job is about to be sent, and what it answered; nil when it failed.
    case cancelAsked(job: Int64)
    case cancelAnswered(job: Int64, result: String?)

    case started(Start)
    /// A handler has done its work and settles within its transaction: it may be over from now on, whenever it hears so.
    case settling(job: Int64, lease: Int64)
    case finished(Finish)

    /// The conductor disturbs, or ends to.
    case disturbs(Disturbance)
    case restores(Disturbance)
    /// A process was started, killed, stopped, told to drain, or has ended.
    case process(name: String, event: ProcessEvent, status: Int32?)
    /// A backlog of urgent and bulk jobs was committed.
    case backlog(urgent: Int, bulk: Int)

    /// A line of the process's log, from `warning` up.
    case logged(level: String, message: String, fields: [String: String])
}

/// A job as an enqueuer wants it.
struct Wanted: Codable, Sendable, Hashable {
    /// Unique in a run; in the job's arguments, or in the fact that a keyed enqueue writes beside it.
    let token: String
    let kind: ChaosKind
    let key: String?
}

struct Answer: Codable, Sendable, Hashable {
    let token: String
    /// nil: a wish, which has none yet.
    let job: Int64?
    /// `EnqueuedJob.Outcome`.
    let outcome: String
}

/// What an enqueuer knows of its transaction.
enum Verdict: String, Codable, Sendable {
    case committed, rolledBack
    /// The answer to its commit was lost.
    case unknown
}

/// A handler begins.
struct Start: Codable, Sendable, Hashable {
    let job: Int64
    let lease: Int64
    let worker: Int64
    let kind: ChaosKind
    let priority: Int16
    /// From 1.
    let attempt: Int
    let crashes: Int
    let key: String?
    /// Of a job without key.
    let token: String?
    let limitKeys: [String]
}

/// A handler is about to return.
struct Finish: Codable, Sendable, Hashable {
    let job: Int64
    let lease: Int64
    var ending: Ending
    /// Keyed: the facts it saw and marked.
    var saw: [String] = []
}

enum Ending: String, Codable, Sendable {
    case completed, retried, threw, snoozed, gaveBack, discarded, cancelled
    /// Its transaction, with effect and settle, is committed: the job is done, or is to be tried again.
    case settledDone, settledRetry
    /// As `settledDone`, with `settleIfMine`: the effect is committed, and the job was its own or was not.
    case fencedMine, fencedLost
    /// The lease was lost: its transaction is undone.
    case lost
    /// Cancelled in the middle, by a drain or an operator.
    case stopped
}

/// A disturbance and whom it meets.
struct Disturbance: Codable, Sendable, Hashable {
    let nemesis: Nemesis
    /// A process, or the database.
    let target: String
}

enum ProcessEvent: String, Codable, Sendable {
    case began, killed, stopped, continued, drains, ended
}

/// Kinds of job of a run, named by what their handlers do.
enum ChaosKind: String, Codable, Sendable, CaseIterable {
    /// Completes.
    case plain
    /// Writes an effect and settles in its own transaction.
    case effect
    /// Writes an effect that has a fence of its own and settles if the job is its own.
    case fenced
    /// Retries, snoozes, throws, gives back, discards, cancels.
    case trouble
    /// Has a unique key, and marks the facts of that key.
    case keyed
}

/// A fact, when, and by whom.
struct Entry: Codable, Sendable, Hashable {
    /// Nanoseconds of CLOCK_BOOTTIME: one clock for all processes of a machine.
    let at: Int64
    let by: String
    let fact: Fact
}
