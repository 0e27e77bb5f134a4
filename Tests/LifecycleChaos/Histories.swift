import ChaosSupport
import Lifecycle
import LifecycleSupport
import Pacing
import Sandbox
import TestSupport

/// Plays many histories, several at a time, in one world.
struct Histories {
    let count: Int
    let seed: UInt64
    /// Played at a time.
    var lanes = 8
    var guards = ProtocolGuards.all

    /// Durations in which a provider's time-out is short and nothing else depends on the machine's speed.
    static var timings: LifecycleTimings {
        var timings = LifecycleWorld.timings
        timings.requestTimeout = .milliseconds(1200)
        timings.sendWithin = .milliseconds(400)
        return timings
    }

    func play(in world: LifecycleWorld) async throws -> HistoriesReport {
        let proxy = try Proxy(upstream: Proxy.socketPath(of: world.database.url))
        defer { proxy.stop() }
        return try await withThrowingTaskGroup(of: HistoriesReport.self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    let seats = try Seats("lane\(lane)", count: 3, in: world, behind: proxy, guards: guards)
                    var report = HistoriesReport()
                    for number in stride(from: lane, to: count, by: lanes) {
                        var player = try await HistoryPlayer(
                            world, behind: proxy, on: seats, seed: seed &+ UInt64(number))
                        let result = try await player.play()
                        report.add(result, story: player.story)
                    }
                    await seats.end()
                    return report
                }
            }
            return try await group.reduce(HistoriesReport()) { $0 + $1 }
        }
    }
}

/// What many histories came to.
struct HistoriesReport: Codable, Sendable {
    var played = 0
    var byClass: [String: Int] = [:]
    var revoked = 0
    /// Lost as no protocol can prevent, each told as `rotation_lost`.
    var told = 0
    var reckoning = Reckoning()
    /// The stories in which something was found that must not be.
    var stories: [[String]] = []

    mutating func add(_ result: HistoryResult, story: [String]) {
        played += 1
        byClass[result.providerClass.rawValue, default: 0] += 1
        if result.wasRevoked { revoked += 1 }
        if result.isTold { told += 1 }
        reckoning = reckoning + result.reckoning
        if !result.reckoning.isClean { stories.append(story + result.reckoning.findings) }
    }

    static func + (left: HistoriesReport, right: HistoriesReport) -> HistoriesReport {
        var sum = left
        sum.played += right.played
        sum.byClass.merge(right.byClass, uniquingKeysWith: +)
        sum.revoked += right.revoked
        sum.told += right.told
        sum.reckoning = left.reckoning + right.reckoning
        sum.stories += right.stories
        return sum
    }
}
