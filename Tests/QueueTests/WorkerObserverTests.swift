import Pacing
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct LivenessTrackerTests {
    private func reading(
        _ milliseconds: Int64, _ beats: [Int64: Int64], took: Int64 = 1, server: String = "a"
    ) -> LivenessTracker.Reading {
        LivenessTracker.Reading(
            sent: BootInstant(nanoseconds: milliseconds * 1_000_000),
            answered: BootInstant(nanoseconds: (milliseconds + took) * 1_000_000), server: server, beats: beats)
    }

    private func tracker() -> LivenessTracker { LivenessTracker(patience: .seconds(20), gap: .seconds(2)) }

    @Test func `a beat that stands still for the patience is dead, and not a reading before`() {
        var tracker = tracker()
        for second in 0..<21 as Range<Int64> {
            let dead = tracker.take(reading(second * 1000, [1: 7, 2: second]))
            // Seen first when the first answer was here, 1 ms after it was sent.
            #expect(dead.isEmpty, "at \(second) s")
        }
        #expect(tracker.take(reading(20_002, [1: 7, 2: 30])) == [.init(workerID: 1, beat: 7)])
    }

    @Test func `one beat in time starts the wait all over`() {
        var tracker = tracker()
        for second in 0..<40 as Range<Int64> {
            #expect(tracker.take(reading(second * 1000, [1: second / 19])).isEmpty, "at \(second) s")
        }
    }

    @Test func `a gap between readings starts the wait all over`() {
        var tracker = tracker()
        for second in 0..<19 as Range<Int64> { #expect(tracker.take(reading(second * 1000, [1: 7])).isEmpty) }
        for second in 21..<41 as Range<Int64> {
            #expect(tracker.take(reading(second * 1000, [1: 7])).isEmpty, "at \(second) s")
        }
        #expect(tracker.take(reading(41_100, [1: 7])).count == 1)
    }

    @Test func `time spent inside a reading is a gap as well`() {
        var tracker = tracker()
        for second in 0..<19 as Range<Int64> { #expect(tracker.take(reading(second * 1000, [1: 7])).isEmpty) }
        #expect(tracker.take(reading(19_000, [1: 7], took: 30_000)).isEmpty)
        #expect(tracker.take(reading(49_500, [1: 7])).isEmpty)
    }

    @Test func `another server, by start time or timeline, starts the wait all over`() {
        var tracker = tracker()
        for second in 0..<20 as Range<Int64> { #expect(tracker.take(reading(second * 1000, [1: 7])).isEmpty) }
        for second in 20..<40 as Range<Int64> {
            #expect(tracker.take(reading(second * 1000, [1: 7], server: "b")).isEmpty, "at \(second) s")
        }
    }

    @Test func `a failed reading starts the wait all over, and one who left is forgotten`() {
        var tracker = tracker()
        for second in 0..<20 as Range<Int64> { _ = tracker.take(reading(second * 1000, [1: 7])) }
        tracker.startOver()
        #expect(tracker.take(reading(20_500, [1: 7])).isEmpty)
        #expect(tracker.take(reading(21_500, [:])).isEmpty)
        for second in 22..<42 as Range<Int64> { #expect(tracker.take(reading(second * 1000, [1: 7])).isEmpty) }
    }
}

@Suite struct WorkerObserverTests {
    private func observer(_ fixture: QueueFixture, patience: Duration) -> WorkerObserver {
        var configuration = WorkerObserverConfiguration()
        configuration.patience = patience
        return WorkerObserver(pool: fixture.pool, configuration: configuration, logger: quiet)
    }

    @Test func `it declares the still one dead and not the one that beats`() async throws {
        try await withQueue { fixture async throws in
            let still = try await fixture.worker()
            let alive = try await fixture.worker()
            let observer = observer(fixture, patience: .milliseconds(50))
            var dead: [Int64] = []
            try await eventually {
                try await fixture.pool.execute(Statements.beat, [.int8(alive)])
                dead += try await observer.observe()
                return !dead.isEmpty
            }
            #expect(dead == [still])
            #expect(try await fixture.count("workers where id = \(alive) and not dead") == 1)
        }
    }

    @Test func `an observer that was declared dead itself starts over with a new identity`() async throws {
        try await withQueue { fixture async throws in
            let observer = observer(fixture, patience: .zero)
            _ = try await observer.observe()
            _ = try await fixture.worker()
            try await fixture.run("update evergrant.workers set dead = true where name = 'observer'")
            #expect(try await observer.observe().isEmpty)
            #expect(try await observer.observe().isEmpty)
            #expect(try await observer.observe().isEmpty)
            #expect(try await fixture.count("workers where name = 'observer' and not dead") == 1)
        }
    }

    @Test func `a beat between the reading and the declaration saves the worker`() async throws {
        try await withQueue { fixture async throws in
            let worker = try await fixture.worker()
            try await fixture.pool.execute(Statements.beat, [.int8(worker)])
            let beats = [.int8(worker), .int8(0)] as [PostgresParameter]
            #expect(try await fixture.pool.execute(Statements.declareDead, beats).isEmpty)
            #expect(try await fixture.pool.execute(Statements.declareDead, [.int8(worker), .int8(1)]).count == 1)
            #expect(try await fixture.pool.execute(Statements.beat, [.int8(worker)]).isEmpty)
        }
    }
}
