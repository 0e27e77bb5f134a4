import Pacing
import Testing

@testable import Queue

/// The tracker against random schedules of beats and readings: servers change, readings are slow, fail, or come late.
@Suite struct LivenessPropertyTests {
    private let patience: Int64 = 20_000
    private let gap: Int64 = 2000

    /// One worker's beats, in milliseconds: steady, with random pauses, or with an end.
    private func beats(until end: Int64, using generator: inout SeededGenerator) -> [Int64] {
        var times: [Int64] = []
        var time = Int64.random(in: 0...5000, using: &generator)
        let stops = Bool.random(using: &generator) ? Int64.random(in: 0...end, using: &generator) : end
        while time < stops {
            times.append(time)
            time +=
                Bool.random(using: &generator) || Bool.random(using: &generator)
                ? .random(in: 1...6000, using: &generator) : .random(in: 6000...40_000, using: &generator)
        }
        return times
    }

    private func count(_ times: [Int64], upTo time: Int64) -> Int64 {
        Int64(times.prefix { $0 <= time }.count)
    }

    @Test func `nobody is declared dead who beat within the patience`() {
        var verdicts = 0
        for seed in 0..<400 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            let end: Int64 = 300_000
            let workers = (0..<8).map { _ in beats(until: end, using: &generator) }
            var tracker = LivenessTracker(patience: .milliseconds(patience), gap: .milliseconds(gap))
            var time: Int64 = 0
            var server = 0
            while time < end {
                let isSlow = Int.random(in: 0..<50, using: &generator) == 0
                let took = Int64.random(in: 0...(isSlow ? 30_000 : 400), using: &generator)
                // The snapshot is made somewhere between the question and its answer.
                let seen = time + .random(in: 0...took, using: &generator)
                if Int.random(in: 0..<200, using: &generator) == 0 { server += 1 }
                if Int.random(in: 0..<200, using: &generator) == 0 {
                    tracker.startOver()
                } else {
                    let dead = tracker.take(
                        LivenessTracker.Reading(
                            sent: BootInstant(nanoseconds: time * 1_000_000),
                            answered: BootInstant(nanoseconds: (time + took) * 1_000_000), server: "\(server)",
                            beats: Dictionary(
                                uniqueKeysWithValues: workers.enumerated().map {
                                    (Int64($0.offset), count($0.element, upTo: seen))
                                })))
                    for verdict in dead {
                        verdicts += 1
                        let times = workers[Int(verdict.workerID)]
                        let late = times.last { $0 <= time } ?? .min / 2
                        #expect(time - late >= patience, "seed \(seed), at \(time)")
                        #expect(verdict.beat == count(times, upTo: time), "seed \(seed), at \(time)")
                    }
                }
                time += took + .random(in: 0...1500, using: &generator)
            }
        }
        #expect(verdicts > 1000)
    }

    @Test func `who stands still is declared dead by the first reading after the patience, when no reading fails`() {
        for seed in 0..<400 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var tracker = LivenessTracker(patience: .milliseconds(patience), gap: .milliseconds(gap))
            let last = Int64.random(in: 0...60_000, using: &generator)
            var time: Int64 = 0
            var since: Int64?
            var before: Int64 = 0
            while true {
                // From one sending to the next answer stays within the gap.
                let took = Int64.random(in: 0...min(400, gap - (time - before)), using: &generator)
                let beat: Int64 = time + took < last ? time : last
                let dead = tracker.take(
                    LivenessTracker.Reading(
                        sent: BootInstant(nanoseconds: time * 1_000_000),
                        answered: BootInstant(nanoseconds: (time + took) * 1_000_000), server: "a",
                        beats: [1: beat]))
                if let since, time - since >= patience {
                    #expect(dead == [.init(workerID: 1, beat: last)], "seed \(seed), at \(time)")
                    break
                }
                #expect(dead.isEmpty, "seed \(seed), at \(time)")
                if beat == last, since == nil { since = time + took }
                before = time
                time += took + .random(in: 0...1200, using: &generator)
            }
        }
    }

    @Test func `without a stretch of readings as long as the patience nobody is dead, however long they stand still`() {
        for seed in 0..<100 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var tracker = LivenessTracker(patience: .milliseconds(patience), gap: .milliseconds(gap))
            var time: Int64 = 0
            for _ in 0..<20 {
                let stretch = time + .random(in: 0...(patience - 1000), using: &generator)
                repeat {
                    let dead = tracker.take(
                        LivenessTracker.Reading(
                            sent: BootInstant(nanoseconds: time * 1_000_000),
                            answered: BootInstant(nanoseconds: (time + 10) * 1_000_000), server: "a",
                            beats: [1: 7, 2: 9]))
                    #expect(dead.isEmpty, "seed \(seed), at \(time)")
                    time += 900
                } while time < stretch
                time += gap + 1100
            }
        }
    }
}
