#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension JobReason {
    /// A whole sentence for people.
    package var sentence: String {
        switch self {
        case .unknown: "There is no such job, or its history is dropped."
        case .ended(let state, let at): "It was \(state.rawValue)\(Self.at(at))."
        case .discarded(let at, let error):
            "It was discarded\(Self.at(at))\(error.map { " after \($0)" } ?? ""): it stays until someone retries or "
                + "deletes it."
        case .running(let worker, let name, let since, let age):
            "It is running\(since.map { " since \(Self.text($0))" } ?? "") on worker \(worker)"
                + "\(name.map { " (\($0))" } ?? ""), which "
                + (age > Self.patience
                    ? "has not beaten for \(Self.seconds(age)): an observer in a scheduler declares it dead, and the job "
                        + "is put back into line."
                    : "beat \(Self.seconds(age)) ago.")
        case .awaitingRescue(let worker):
            "Its worker \(worker) was declared dead: the job is put back into line at the next rescue."
        case .cancelAsked: "It was cancelled while running: its handler was asked to stop."
        case .wantedAgain(let at, let wishes):
            if let at {
                "It runs once more when this run has ended (not before \(Self.text(at))): its unique key was enqueued "
                    + "meanwhile."
            } else {
                "\(wishes) more enqueue\(wishes == 1 ? "" : "s") of its unique key wait for another transaction that has "
                    + "the key."
            }
        case .notDue(let at, let error):
            "It is not due before \(Self.text(at))\(error.map { ", after \($0)" } ?? "")."
        case .awaitingPromotion(let dueAt, let schedulers):
            "It has been due since \(Self.text(dueAt)); "
                + (schedulers > 0
                    ? "a scheduler puts it in line within a second."
                    : "no scheduler lives that could put it in line: start one.")
        case .queuePaused(let queue):
            "Its queue \(queue.name) is paused: evergrant queues resume \(queue.name)."
        case .kindPaused(let kind, let parked):
            "Its kind \(kind) is paused\(parked ? "" : ", and it will be parked when its turn comes"): "
                + "evergrant pauses resume --kind \(kind)."
        case .limitKeyPaused(let key, let parked):
            "Its limit key \(key) is paused\(parked ? "" : ", and it will be parked when its turn comes"): "
                + "evergrant pauses resume --limit-key \(key)."
        case .limitBlocked(let key, let until, let because):
            "Its limit key \(key) is blocked until \(Self.text(until)): \(because)"
        case .limitFull(let key, let inUse, let concurrency, let position):
            "It waits for room under \(key): \(inUse) of \(concurrency) are in use" + Self.place(position) + "."
        case .limitRate(let key, let rate, let until, let position):
            "It waits for the rate of \(key), \(Self.number(rate)) a second: the next start is allowed at "
                + "\(Self.text(until))" + Self.place(position) + "."
        case .behindWaiting(let key): "Other jobs wait for \(key) already: it lines up behind them."
        case .returning: "Nothing holds it any more: it goes back into line within a second."
        case .held(let process):
            "Another transaction holds its row\(process.map { " (database process \($0))" } ?? ""): an enqueue of its "
                + "unique key that has not committed, or a claim under way."
        case .noWorker(let last):
            "No worker lives\(last.map { ": the last beat was at \(Self.text($0))" } ?? "")."
        case .noWorkerKnowsKind(let kind, let workers):
            "None of the \(workers) living worker\(workers == 1 ? "" : "s") has a handler for \(kind)."
        case .inLine(let position, let isCapped, let ahead, let beside):
            Self.line(position, isCapped, ahead, beside)
        }
    }

    private static func line(_ position: Int, _ isCapped: Bool, _ ahead: [LaneAhead], _ beside: Int) -> String {
        var text = "It is number \(position)\(isCapped ? " or later" : "") of its lane"
        if !ahead.isEmpty {
            let jobs = ahead.reduce(0) { $0 + $1.jobs }
            text +=
                "; \(ahead.count == 20 ? "20 or more" : "\(ahead.count)") more urgent lane\(ahead.count == 1 ? "" : "s") "
                + "with \(ahead.contains { $0.jobs >= 1000 } ? "over " : "")\(jobs) jobs are served first"
        }
        if beside > 0 { text += "; its lane takes turns with \(beside) other\(beside == 1 ? "" : "s")" }
        return text + "."
    }

    private static func place(_ position: Int?) -> String { position.map { "; it is number \($0) of those" } ?? "" }

    private static func at(_ date: Date?) -> String { date.map { " at \(text($0))" } ?? "" }

    private static func text(_ date: Date) -> String { date.formatted(.iso8601) }

    private static func seconds(_ age: Double) -> String { "\(Int(age.rounded())) s" }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && value < 1e9 ? "\(Int(value))" : "\(value)"
    }
}
