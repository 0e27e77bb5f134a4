import Testing

@testable import QueueChaos

/// Histories made by hand: each property holds in a sound one and is refuted by the least change that breaks it.
@Suite struct CheckerTests {
    @Test func `a job that was enqueued, ran and is completed proves everything`() {
        #expect(Story().refuted.isEmpty)
    }

    // MARK: Jobs

    @Test func `a committed job that is nowhere, or never ended, is lost`() {
        var story = Story()
        story.state.jobs = []
        story.entries.removeAll { if case .started = $0.fact { true } else { false } }
        #expect(story.refuted == [.nothingLost])
        story = Story()
        story.state.jobs = [.init(id: 1, state: "available", attempt: 0, crashes: 0, token: "t")]
        #expect(story.refuted == [.nothingLost])
    }

    @Test func `an enqueue with unknown outcome is right either way`() {
        var story = Story(verdict: .unknown)
        #expect(story.refuted.isEmpty)
        story.state.jobs = []
        story.entries.removeAll { if case .started = $0.fact { true } else { false } }
        #expect(story.refuted.isEmpty)
    }

    @Test func `a job that ran and is nowhere is lost, whatever became of its enqueue`() {
        var story = Story(verdict: .unknown)
        story.state.jobs = []
        #expect(story.refuted == [.nothingLost])
    }

    @Test func `a job of a rolled-back enqueue must not be there`() {
        #expect(Story(verdict: .rolledBack).refuted == [.rolledBackNeverRuns])
    }

    @Test func `two rows of one job, or two jobs of one enqueue, are one too many`() {
        var story = Story()
        story.state.jobs.append(story.state.jobs[0])
        #expect(story.refuted == [.onePlace])
        story = Story()
        story.state.jobs.append(.init(id: 2, state: "completed", attempt: 1, crashes: nil, token: "t"))
        #expect(story.refuted == [.onePlace])
    }

    @Test func `a cancelled job must not start later`() {
        var story = Story()
        story.add(1, .cancelAnswered(job: 1, result: "cancelled"))
        story.state.jobs = [.init(id: 1, state: "cancelled", attempt: 0, crashes: nil, token: "t")]
        #expect(story.refuted == [.cancelHolds])
        // Asked while it ran, it may do either.
        story = Story()
        story.add(11, .cancelAnswered(job: 1, result: "asked"))
        #expect(story.refuted.isEmpty)
    }

    @Test func `what is left when every job has ended is a violation`() {
        var story = Story()
        story.state.leftovers = ["lease 1"]
        #expect(story.refuted == [.nothingLeftBehind])
    }

    // MARK: Effects

    @Test func `an effect must be there once, and its job completed`() {
        var story = Story(kind: .effect)
        #expect(story.refuted == [.effectOnce])
        let effect = FinalState.Effect(job: 1, attempt: 1, lease: 1, worker: 1, final: true)
        story.state.effects = [effect]
        #expect(story.refuted.isEmpty)
        story.state.effects = [effect, effect]
        #expect(story.refuted == [.effectOnce])
        story.state.effects = [effect]
        story.state.jobs = [.init(id: 1, state: "discarded", attempt: 1, crashes: 0, token: "t")]
        #expect(story.refuted == [.effectOnce])
    }

    @Test func `two holders must not both settle`() {
        var story = Story(kind: .fenced, ending: .fencedMine)
        story.state.fenced = ["t"]
        story.run(lease: 2, worker: 2, kind: .fenced, crashes: 1, from: 30, to: 40, .fencedMine)
        story.state.deaths = [.init(worker: 1, at: 25)]
        #expect(story.refuted == [.oneHolderSettles, .attemptsCounted])
    }

    // MARK: Keys

    @Test func `two runs of a key at once need a death before the second`() {
        var story = Story(kind: .keyed, key: "k")
        story.run(job: 3, lease: 2, worker: 2, kind: .keyed, key: "k", from: 15, to: 25, .completed)
        story.state.jobs.append(.init(id: 3, state: "completed", attempt: 1, crashes: nil, token: "u"))
        #expect(story.refuted == [.keyRunsAlone])
        story.state.deaths = [.init(worker: 1, at: 16)]
        #expect(story.refuted == [.keyRunsAlone])
        story.state.deaths = [.init(worker: 1, at: 14)]
        #expect(story.refuted.isEmpty)
    }

    @Test func `a run is over when it settles in its transaction, however late it hears of that`() {
        for (settling, isRight) in [(Int?.none, false), (14, true), (16, false)] {
            var story = Story(kind: .keyed, key: "k")
            if let settling { story.add(settling, .settling(job: 1, lease: 1), by: "w") }
            story.run(job: 3, lease: 2, worker: 2, kind: .keyed, key: "k", from: 15, to: 25, .completed)
            story.state.jobs.append(.init(id: 3, state: "completed", attempt: 1, crashes: nil, token: "u"))
            #expect(story.refuted == (isRight ? [] : [.keyRunsAlone]), "settles at \(settling ?? 0) ms")
        }
    }

    @Test func `a fact that no run saw is a lost wake-up`() {
        var story = Story(kind: .keyed, key: "k")
        story.state.facts = [.init(token: "t", key: "k", seenBy: nil)]
        #expect(story.refuted == [.wakeUpSeen])
    }

    // MARK: Attempts and processes

    @Test func `a crash uses an attempt only from the third on`() {
        for (crashes, attempt, isRight) in [(1, 1, true), (2, 1, true), (2, 2, false), (3, 2, true), (3, 1, false)] {
            var story = Story(ending: nil)
            story.state.deaths = [.init(worker: 1, at: 25)]
            story.run(lease: 2, worker: 2, attempt: attempt, crashes: crashes, from: 30, to: 40, .completed)
            story.state.jobs = [.init(id: 1, state: "completed", attempt: attempt, crashes: nil, token: "t")]
            #expect(story.refuted == (isRight ? [] : [.attemptsCounted]), "\(crashes) crashes, attempt \(attempt)")
        }
    }

    @Test func `a retry uses an attempt, a snooze does not, and nothing runs again by itself`() {
        for (ending, attempt, isRight) in [
            (Ending.retried, 2, true), (.retried, 1, false), (.snoozed, 1, true), (.snoozed, 2, false),
            (.completed, 1, false), (.settledDone, 1, false), (.settledRetry, 2, true), (.settledRetry, 1, false),
        ] {
            var story = Story(ending: ending)
            story.run(lease: 2, worker: 1, attempt: attempt, from: 30, to: 40, .completed)
            story.state.jobs = [.init(id: 1, state: "completed", attempt: attempt, crashes: nil, token: "t")]
            #expect(story.refuted == (isRight ? [] : [.attemptsCounted]), "\(ending), then attempt \(attempt)")
        }
    }

    @Test func `an end that nobody saw is a crash, or a settle that was under way`() {
        for (settles, attempt, crashes, isRight) in [
            (false, 1, 1, true), (false, 2, 0, false), (true, 2, 0, true), (false, 1, 0, false), (true, 1, 0, false),
        ] {
            var story = Story(ending: nil)
            if settles { story.add(15, .settling(job: 1, lease: 1), by: "w") }
            if crashes > 0 { story.state.deaths = [.init(worker: 1, at: 25)] }
            story.run(lease: 2, worker: 2, attempt: attempt, crashes: crashes, from: 30, to: 40, .completed)
            story.state.jobs = [.init(id: 1, state: "completed", attempt: attempt, crashes: nil, token: "t")]
            #expect(story.refuted == (isRight ? [] : [.attemptsCounted]), "attempt \(attempt), \(crashes) crashes")
        }
    }

    @Test func `a violation is told with what became of its job, in order, and what happened around it`() throws {
        var story = Story(kind: .effect)
        story.add(12, .disturbs(Disturbance(nemesis: .freeze, target: "network")))
        story.add(9000, .disturbs(Disturbance(nemesis: .cut, target: "network")))
        story.state.deaths = [.init(worker: 1, at: 15), .init(worker: 7, at: 16)]
        let violation = try #require(story.violations.first)
        #expect(
            violation.history == [
                "0.000000  e: call 1 asks for effect t",
                "0.001000  e: call 1 committed: t is job 1 (new)",
                "0.010000  w: starts job 1 (effect), attempt 1, 0 crashes, lease 1 of worker 1",
                "0.012000  conductor: nemesis freeze meets network",
                "0.015000  database: worker 1 is declared dead",
                "0.020000  w: ends job 1, lease 1: completed",
                "at the end: job 1 is completed, attempt 1",
            ])
    }

    @Test func `a drain must not cost a crash or an attempt`() {
        for (crashes, attempt, isRight) in [(0, 1, true), (1, 1, false)] {
            var story = Story(ending: .stopped)
            story.add(15, .process(name: "w", event: .drains, status: nil))
            story.add(22, .process(name: "w", event: .ended, status: 0))
            // Declared dead on its way out: it left a lease behind.
            if crashes > 0 { story.state.deaths = [.init(worker: 1, at: 21)] }
            story.run(lease: 2, worker: 2, attempt: attempt, crashes: crashes, from: 30, to: 40, .completed)
            #expect(story.refuted == (isRight ? [] : [.drainIsFree]))
        }
    }

    @Test func `a process that ends by itself, or badly, is unsound`() {
        for (event, status, isRight) in [
            (ProcessEvent?.none, Int32(0), false), (.drains, 0, true), (.drains, 1, false), (.killed, 137, true),
        ] {
            var story = Story()
            if let event { story.add(50, .process(name: "w", event: event, status: nil)) }
            story.add(60, .process(name: "w", event: .ended, status: status))
            #expect(story.refuted == (isRight ? [] : [.processesSound]), "\(String(describing: event)), \(status)")
        }
    }

    @Test func `nobody dies of an outage for everyone, nor before the patience after it`() {
        // Patience 2 s, gap 0.5 s: an outage from 1 s to 3 s forbids deaths up to 5 s.
        for (at, isRight) in [(1400, true), (2000, false), (4900, false), (5000, true)] {
            var story = Story()
            let freeze = Disturbance(nemesis: .freeze, target: "network")
            story.add(1000, .disturbs(freeze))
            story.add(3000, .restores(freeze))
            story.state.deaths = [.init(worker: 9, at: Int64(at) * 1_000_000)]
            #expect(story.refuted == (isRight ? [] : [.outageSpares]), "a death at \(at) ms")
        }
    }

    // MARK: Lanes and limits

    @Test func `claims that leave urgent jobs waiting behind bulk ones are late`() {
        for (urgent, isRight) in [(3, true), (2, false)] {
            var story = Story()
            story.add(1000, .backlog(urgent: 40, bulk: 100))
            var job: Int64 = 100
            for lease in 0..<20 as Range<Int64> {
                for place in 0..<4 {
                    story.run(
                        job: job, lease: 10 + lease, worker: 1, priority: place < urgent ? 0 : 3,
                        from: 1200 + Int(lease) * 10, to: 1205 + Int(lease) * 10, .completed)
                    story.state.jobs.append(
                        .init(id: job, state: "completed", attempt: 1, crashes: nil, token: "x\(job)"))
                    job += 1
                }
            }
            story.add(9000, .logged(level: "warning", message: "alive", fields: [:]), by: "w")
            #expect(story.refuted == (isRight ? [] : [.urgentFirst]), "\(urgent) of 4")
        }
    }

    @Test func `more jobs of a limit at once than its concurrency break it, and a dead worker's do not count`() {
        var story = Story(limit: "l")
        story.run(job: 3, lease: 2, worker: 2, limit: "l", from: 15, to: 25, .completed)
        story.state.jobs.append(.init(id: 3, state: "completed", attempt: 1, crashes: nil, token: "u"))
        story.rules.limits = [LimitRule(key: "l", concurrency: 2)]
        #expect(story.refuted.isEmpty)
        story.rules.limits = [LimitRule(key: "l", concurrency: 1)]
        #expect(story.refuted == [.limitsKept])
        story.state.deaths = [.init(worker: 1, at: 14)]
        #expect(story.refuted.isEmpty)
    }

    @Test func `a bucket allows its burst and its rate, and not one start more`() {
        // Burst 2 and 10 a second: at 10 ms (the story's own), then at 11 ms, then a third.
        for (third, isRight) in [(100, false), (111, true)] {
            var story = Story(limit: "l")
            for (job, at) in [(3 as Int64, 11), (4, third)] {
                story.run(job: job, lease: job, worker: 2, limit: "l", from: at, to: at + 1, .completed)
                story.state.jobs.append(.init(id: job, state: "completed", attempt: 1, crashes: nil, token: "u\(job)"))
            }
            story.rules.limits = [LimitRule(key: "l", rate: 10, burst: 2)]
            #expect(story.refuted == (isRight ? [] : [.limitsKept]), "third start at \(third) ms")
        }
    }
}
