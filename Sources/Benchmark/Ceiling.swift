import CQueueCeiling
import Foundation
import Postgres
import Queue

/// The same statements driven straight through libpq by threads in C: what any client of them can reach here.
struct Ceiling: Sendable {
    var mode = QUEUE_CEILING_LIFE
    var connections = 4
    var enqueuers = 4
    var batch = 100
    var seconds = 5.0
    var total = Int.max
    /// In split mode: how many jobs the enqueuers may be ahead.
    var ahead = 1000
    /// The low-water mark to begin with.
    var low: Int64 = 0
    /// As `JobRunnerConfiguration.scoutInterval`.
    var scoutInterval = 0.025

    struct Figures: Sendable {
        let seconds: Double
        let enqueued: Int
        let settled: Int
        let enqueuedInAll: Int
        let settledInAll: Int
        /// Seconds of one exchange.
        let p50: Double
        let p99: Double
        /// Jobs settled at the end of each second.
        let samples: [Int]
    }

    func run(on database: QueueDatabase) async throws -> Figures {
        let (queue, kind) = try await database.names()
        let server = try await database.serverStart()
        return try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                continuation.resume(with: Result { try drive(database, queue: queue, kind: kind, server: server) })
            }
            thread.name = "ceiling"
            thread.start()
        }
    }

    private func drive(_ database: QueueDatabase, queue: Int32, kind: Int32, server: Double) throws -> Figures {
        var strings: [UnsafeMutablePointer<CChar>?] = []
        defer { for string in strings { free(string) } }
        func lasting(_ text: String) -> UnsafePointer<CChar>? {
            strings.append(strdup(text))
            return strings.last.flatMap { UnsafePointer($0) }
        }
        let payloads = database.payloads.map { lasting(String(decoding: $0, as: UTF8.self)) }
        let lengths = database.payloads.map { Int32($0.count) }
        let settings = JobQueue.sessionSettings.sorted { $0.key < $1.key }.map { "set \($0.key) = '\($0.value)'" }
        var plan = queue_ceiling_plan()
        plan.conninfo = lasting(database.url)
        plan.session = lasting(settings.joined(separator: ";"))
        plan.enqueue = lasting(HotPath.enqueue.sql)
        plan.settle_and_claim = lasting(HotPath.settleAndClaim.sql)
        plan.last_id = lasting(HotPath.lastID.sql)
        plan.fence = lasting(HotPath.fence.sql)
        plan.raise_low = lasting(HotPath.raiseLow.sql)
        plan.register_worker = lasting(HotPath.registerWorker.sql)
        plan.mode = mode
        plan.connections = Int32(connections)
        plan.enqueuers = Int32(enqueuers)
        plan.batch = Int32(batch)
        plan.seconds = seconds
        plan.total = Int64(total)
        plan.ahead = Int64(ahead)
        plan.queue = queue
        plan.kind = kind
        plan.priority = 2
        plan.low = low
        plan.server = server
        plan.scout_interval = scoutInterval
        plan.payload_count = Int32(payloads.count)
        let figures = UnsafeMutablePointer<queue_ceiling_figures>.allocate(capacity: 1)
        defer { figures.deallocate() }
        let status = payloads.withUnsafeBufferPointer { payloads in
            lengths.withUnsafeBufferPointer { lengths in
                plan.payloads = payloads.baseAddress
                plan.payload_lengths = lengths.baseAddress
                return queue_ceiling_run(&plan, figures)
            }
        }
        guard status == 0 else {
            let message = withUnsafeBytes(of: &figures.pointee.error) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw BenchmarkError(.failed, "the ceiling in C: \(message)")
        }
        let samples = withUnsafeBytes(of: &figures.pointee.samples) { Array($0.bindMemory(to: Int64.self)) }
        let result = figures.pointee
        guard result.lost == 0 else { throw BenchmarkError(.wrongCount, "the ceiling in C lost \(result.lost) jobs") }
        return Figures(
            seconds: result.seconds, enqueued: Int(result.enqueued), settled: Int(result.settled),
            enqueuedInAll: Int(result.enqueued_in_all), settledInAll: Int(result.settled_in_all), p50: result.p50,
            p99: result.p99, samples: samples.prefix(Int(result.sample_count)).map(Int.init))
    }
}
