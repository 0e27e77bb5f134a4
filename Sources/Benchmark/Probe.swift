import Pacing
import Queue
import Synchronization

/// A job that carries the time of the call that enqueued it, on the clock that all processes of a machine share
/// (`CLOCK_BOOTTIME`).
enum Probe {
    static let kind = "bench.probe"

    static func arguments() -> [UInt8] { Array(#"{"called_at": \#(BootInstant.now().nanoseconds)}"#.utf8) }

    static func job() -> NewJob {
        NewJob(kind: kind, arguments: arguments(), environmentID: QueueDatabase.environmentID)
    }

    /// From the call to now.
    static func age(of job: LeasedJob) -> Duration? {
        let now = BootInstant.now()
        // The server may have written the JSON anew; it has one number.
        let digits = job.arguments.filter { (48...57).contains($0) }
        guard let called = Int64(String(decoding: digits, as: UTF8.self)) else { return nil }
        return BootInstant(nanoseconds: called).duration(to: now)
    }
}

/// Numbers that handlers report, in milliseconds.
final class Samples: Sendable {
    private let values = Mutex<[Double]>([])

    func add(_ duration: Duration) { values.withLock { $0.append(duration / .milliseconds(1)) } }
    var all: [Double] { values.withLock { $0 } }
    var count: Int { values.withLock { $0.count } }
}
