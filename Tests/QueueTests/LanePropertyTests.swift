import Pacing
import Testing

@testable import Queue

/// What holds of every round over lanes, in random states.
@Suite struct LanePropertyTests {
    private let now = BootInstant(nanoseconds: 0)

    /// Up to 40 lanes of up to five priorities.
    private func lanes(using generator: inout SeededGenerator) -> [Lane] {
        let queues = Int32.random(in: 1...20, using: &generator)
        let priorities = Int16.random(in: 1...5, using: &generator)
        var lanes: Set<Lane> = []
        for _ in 0..<Int.random(in: 1...40, using: &generator) {
            lanes.insert(
                Lane(
                    queue: .random(in: 1...queues, using: &generator),
                    priority: .random(in: 0..<priorities, using: &generator)))
        }
        return lanes.sorted()
    }

    private func find(_ lanes: [Lane], in table: inout LaneTable) {
        _ = table.found(lanes.map { ($0, 1) }, marks: [:], at: now)
    }

    @Test func `every round hands out all free slots, to lanes that wait, each once`() {
        for seed in 0..<500 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var table = LaneTable()
            for _ in 0..<20 {
                find(lanes(using: &generator), in: &table)
                for _ in 0..<3 where !table.waiting.isEmpty {
                    let free = Int.random(in: 1...200, using: &generator)
                    let shares = table.round(free: free, fromZero: false)
                    #expect(shares.reduce(0) { $0 + $1.want } == free, "seed \(seed)")
                    #expect(shares.allSatisfy { $0.want > 0 && table.waiting.contains($0.lane) }, "seed \(seed)")
                    #expect(Set(shares.map(\.lane)).count == shares.count, "seed \(seed)")
                    if let lane = shares.randomElement(using: &generator)?.lane { table.exhausted(lane) }
                }
            }
            #expect(table.round(free: 0, fromZero: false).isEmpty)
        }
    }

    @Test func `the most urgent priority has three quarters of the slots in seven of eight rounds`() {
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var table = LaneTable()
            find(lanes(using: &generator), in: &table)
            let urgent = table.waiting.map(\.priority).min()
            let isAlone = Set(table.waiting.map(\.priority)).count == 1
            let free = Int.random(in: 1...200, using: &generator)
            var reserved = 0
            for _ in 0..<8 {
                let shares = table.round(free: free, fromZero: false)
                let got = shares.filter { $0.lane.priority == urgent }.reduce(0) { $0 + $1.want }
                if got >= (isAlone ? free : max(1, free * 3 / 4)) { reserved += 1 }
            }
            #expect(reserved == (isAlone ? 8 : 7) || reserved == 8, "seed \(seed), free \(free)")
        }
    }

    /// However few slots are free: one at a time is what a busy runner has.
    @Test func `no priority starves: each is served once in eight rounds for each priority that waits`() {
        for free in 1...12 {
            for priorities in 1...6 {
                var table = LaneTable()
                find((0..<Int16(priorities)).map { Lane(queue: 1, priority: $0) }, in: &table)
                // Whatever round it begins with.
                for _ in 0..<Int.random(in: 0..<16) { _ = table.round(free: free, fromZero: false) }
                var served: Set<Int16> = []
                for _ in 0..<(8 * priorities) {
                    served.formUnion(table.round(free: free, fromZero: false).map(\.lane.priority))
                }
                #expect(served.count == priorities, "\(free) free, \(priorities) priorities: \(served.sorted())")
            }
        }
    }

    /// Among queues that wait all the time, whoever else comes and goes.
    @Test func `queues of one priority take turns: none is two servings ahead of another`() {
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var table = LaneTable()
            let steady = Set(
                (0..<Int.random(in: 1...8, using: &generator)).map { _ in
                    Int32.random(in: 1...50, using: &generator)
                })
            var turns = Dictionary(uniqueKeysWithValues: steady.map { ($0, 0) })
            for _ in 0..<200 {
                let guests = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    Int32.random(in: 1...50, using: &generator)
                }
                find(steady.union(guests).sorted().map { Lane(queue: $0, priority: 2) }, in: &table)
                for share in table.round(free: .random(in: 1...5, using: &generator), fromZero: false) {
                    if steady.contains(share.lane.queue) { turns[share.lane.queue, default: 0] += 1 }
                }
                let least = turns.values.min() ?? 0
                let most = turns.values.max() ?? 0
                #expect(most - least <= 1, "seed \(seed): \(turns)")
            }
        }
    }

    @Test func `shares of one priority differ by one slot at most`() {
        for seed in 0..<300 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var table = LaneTable()
            find(lanes(using: &generator), in: &table)
            for _ in 0..<9 {
                let shares = table.round(free: .random(in: 1...200, using: &generator), fromZero: false)
                for (priority, mine) in Dictionary(grouping: shares, by: \.lane.priority) {
                    let wants = mine.map(\.want)
                    #expect((wants.max() ?? 0) - (wants.min() ?? 0) <= 1, "seed \(seed), priority \(priority)")
                }
            }
        }
    }
}
