import CQueueCeiling
import Logging
import TestSupport
import Testing

@testable import Benchmark
@testable import Queue

@Suite struct QueueDatabaseTests {
    /// A database of its own with nothing in it.
    static func with(_ body: (QueueDatabase) async throws -> Void) async throws {
        try await withMigratedDatabase { test in
            let database = QueueDatabase(
                url: test.url, postmaster: nil, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            do {
                try await body(database)
            } catch {
                await database.close()
                throw error
            }
            await database.close()
        }
    }

    @Test func `a job left in line or missing from the history spoils a measurement`() async throws {
        try await Self.with { database in
            try await JobQueue(pool: database.pool, logger: database.logger).enqueue([database.job(0)])
            try await database.check(finished: 0, waiting: 1, after: "one job")
            for (finished, waiting) in [(0, 0), (1, 1), (1, 0)] {
                await #expect(throws: BenchmarkError.self) {
                    try await database.check(finished: finished, waiting: waiting, after: "one job")
                }
            }
            try await database.reset()
            try await database.check(finished: 0, waiting: 0, after: "a reset")
        }
    }

    @Test func `the ceiling drains exactly the jobs that were there`() async throws {
        try await Self.with { database in
            let queue = JobQueue(pool: database.pool, logger: database.logger)
            try await queue.enqueue((0..<1234).map { database.job($0) })
            let figures = try await Ceiling(
                mode: QUEUE_CEILING_DRAIN, connections: 2, batch: 100, seconds: 60, total: 1234
            ).run(on: database)
            #expect(figures.settledInAll == 1234)
            try await database.check(finished: 1234, waiting: 0, after: "a drain")
        }
    }

    @Test func `the ceiling says why it cannot run`() async throws {
        try await Self.with { database in
            try await database.run("alter table evergrant.jobs_ready add constraint none check (false) not valid")
            do {
                _ = try await Ceiling(batch: 10, seconds: 1).run(on: database)
                Issue.record("it ran")
            } catch let error as BenchmarkError {
                #expect(error.message.contains("enqueue"))
                #expect(error.message.contains("none"))
            }
            try await database.run("alter table evergrant.jobs_ready drop constraint none")
        }
    }
}
