/// What to measure, and how much of it. The defaults are those of docs/performance.md; tests make them tiny.
package struct QueueBenchmarkOptions: Sendable {
    package var shapes: [QueueShape] = QueueShape.allCases
    /// A server to use instead of a private one, as a role that may create databases.
    package var url: String?
    /// Where the private cluster lives; nil: a directory of its own under /var/tmp, which is on a disk.
    package var directory: String?
    /// False for tests: the private cluster syncs nothing.
    package var durable = true
    /// How long each round of a throughput shape lasts.
    package var seconds = 5.0
    /// Rounds of each side, taken in turns.
    package var pairs = 3
    package var batches = [1, 10, 100]
    /// `burndown`: jobs in the queue.
    package var jobs = 1_000_000
    /// `backlog`: jobs waiting, and dead entries behind the mark.
    package var backlog = 10_000_000
    /// `held-snapshot`: how long the reader stays.
    package var holdSeconds = 60.0
    /// `pickup`: jobs timed.
    package var probes = 500
    /// `rescue`: workers killed.
    package var kills = 3
    /// `rescue`: how often the killed worker beats, and how long the observer waits for the next; production's.
    package var beatInterval: Duration = .seconds(5)
    package var patience: Duration = .seconds(20)
    /// `noisy`: jobs of the other environment, and jobs of ours.
    package var noise = 100_000
    package var singles = 50
    /// A Python with Benchmarks/requirements.txt, to measure public queues beside ours, and the directory of their drivers.
    package var python: String?
    package var drivers = "Benchmarks/queues"
    /// This program with the arguments that make it `BenchmarkChild.run`; empty: shapes that need a second process fail.
    package var childCommand: [String] = []
    /// Our own side's shape.
    package var runners = 1
    /// Round trips at a time of each runner.
    package var exchanges = 4
    package var enqueuers = 4
    /// Connections that settle and claim, and as many has the side in C.
    package var connections: Int { runners * exchanges }

    package init() {}
}
