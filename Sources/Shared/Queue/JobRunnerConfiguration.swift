/// How a `JobRunner` works. Durations but the drain's are for tests to shorten.
package struct JobRunnerConfiguration: Sendable {
    /// Shown to operators; default "worker".
    package var name = "worker"
    /// Jobs at a time.
    package var concurrency = 64
    /// Jobs in one claim at most.
    package var claimBatch = 100
    /// Round trips that settle and claim at a time, each on a connection: more than one only pays when jobs are short.
    package var exchanges = 1
    /// How often an idle runner looks for jobs: the first wait, and the longest.
    package var pollInterval: ClosedRange<Duration> = .milliseconds(20) ... .milliseconds(50)
    /// Whether it listens for notifications, on a connection beside the pool; false where there is no way to listen, such
    /// as a pooler in transaction mode. Polls find every job all the same.
    package var listens = true
    /// How long a finished job, or a free slot, waits for others to share a round trip and a commit with.
    package var batchWindow: Duration = .milliseconds(3)
    /// How often the runner shows that it lives.
    package var beatInterval: Duration = .seconds(5)
    /// A runner that could not beat for so long starts nothing new. Well under the observer's patience of 20 s.
    package var beatTolerance: Duration = .seconds(15)
    /// How long running jobs may go on after the order to stop; then they are cancelled and given back.
    package var drainTimeout: Duration = .seconds(25)
    /// How long the last settles may take after that.
    package var settleTimeout: Duration = .seconds(5)
    /// When a job of a kind without handler is tried again.
    package var unknownKindDelay: Duration = .seconds(60)
    /// How often lanes are searched from 0, which finds jobs below a low-water mark that a failover behind a pooler has
    /// made wrong.
    package var fullSearchInterval: Duration = .seconds(30)
    /// Least time between two searches for lanes while there is work.
    package var searchInterval: Duration = .milliseconds(20)
    /// Least time between two rises of the low-water marks.
    package var scoutInterval: Duration = .milliseconds(5)
    /// Jobs claimed before the marks are worth raising at once; fewer wait half a second.
    package var scoutThreshold = 200
    /// How long a settle waits for a stranger's transaction that has its key; then it is tried again later.
    package var lockTimeout: Duration = .milliseconds(100)

    package init() {}
}
