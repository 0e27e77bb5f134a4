import Foundation
import Lifecycle
import Pacing
import Testing

/// Decisions alone: reports in, effects out.
@Suite struct HostHealthTests {
    static let settings = HealthSettings()
    let start = Date(timeIntervalSince1970: 1_800_000_000)

    func at(_ seconds: Double) -> Date { start.addingTimeInterval(seconds) }

    func troubles(_ count: Int, at moment: Double, voices: Set<String> = ["1"]) -> HealthReport {
        var report = HealthReport()
        var counts = HealthReport.Counts()
        counts.troubles = count
        report.counts = [(.zero, counts)]
        report.run = count
        report.runVoices = voices
        report.troubleAt = at(moment)
        report.lastTrouble = "503"
        return report
    }

    func answers(served: Int = 0, refused: Int = 0, at moment: Double) -> HealthReport {
        var report = HealthReport()
        var counts = HealthReport.Counts()
        counts.served = served
        counts.refused = refused
        report.counts = [(.zero, counts)]
        report.answeredAt = at(moment)
        if served > 0 { report.servedAt = at(moment) }
        return report
    }

    func retests(served: Int = 0, refused: Int = 0, at moment: Double) -> HealthReport {
        var report = HealthReport()
        report.answeredAt = at(moment)
        if served > 0 { report.servedAt = at(moment) }
        report.retestsServed = served
        report.retestsRefused = refused
        return report
    }

    func fault(_ voice: String, at moment: Double) -> HealthReport {
        var report = HealthReport()
        report.answeredAt = at(moment)
        report.faults = [.init(voice: voice, at: at(moment), reason: "invalid_client")]
        return report
    }

    @discardableResult
    func absorb(_ health: inout HostHealth, _ report: HealthReport, _ moment: Double) -> [HealthEffect] {
        health.absorb(report, at: at(moment), settings: Self.settings)
    }

    func claim(_ health: inout HostHealth) -> Bool { health.claimTrial() }

    // MARK: Breaker

    @Test func `four troubles in a row leave the breaker closed, the fifth opens it, once`() {
        var health = HostHealth()
        #expect(absorb(&health, troubles(4, at: 0), 0) == [])
        #expect(health.gate(at: at(0)) == .pass)
        #expect(absorb(&health, troubles(1, at: 1), 1) == [.breakerOpened])
        #expect(health.gate(at: at(1)) == .open(since: at(1)))
        #expect(absorb(&health, troubles(1, at: 2), 2) == [])
    }

    @Test func `an answer to a later attempt begins the count anew, one to an earlier attempt does not`() {
        var health = HostHealth()
        absorb(&health, troubles(4, at: 10), 11)
        absorb(&health, answers(served: 1, at: 9), 12)
        #expect(absorb(&health, troubles(1, at: 13), 13) == [.breakerOpened])

        health = HostHealth()
        absorb(&health, troubles(4, at: 10), 11)
        absorb(&health, answers(served: 1, at: 12), 12)
        #expect(absorb(&health, troubles(4, at: 13), 13) == [])
    }

    @Test func `half of all in a window opens the breaker, a little less does not`() {
        var health = HostHealth()
        absorb(&health, answers(served: 21, at: 1), 1)
        var report = troubles(20, at: 0)
        report.run = 0
        #expect(absorb(&health, report, 2) == [])
        var more = troubles(1, at: 0)
        more.run = 0
        #expect(absorb(&health, more, 3) == [.breakerOpened])
    }

    @Test func `an app as a whole needs the troubles of two tenants`() {
        var health = HostHealth()
        func absorb(_ report: HealthReport) -> [HealthEffect] {
            health.absorb(report, at: at(0), settings: Self.settings, needsTwoVoices: true)
        }
        #expect(absorb(troubles(9, at: 0, voices: ["a.example"])) == [])
        #expect(absorb(troubles(1, at: 0, voices: ["b.example"])) == [.breakerOpened])
    }

    @Test func `canaries come one at a time, at growing distances`() throws {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        var moments: [Double] = []
        var now = 0.0
        while moments.count < 6 {
            now = try #require(health.tendAt(at(now), settings: Self.settings)).timeIntervalSince(start)
            let effects = health.tend(at: at(now), settings: Self.settings)
            if effects.contains(.probe) { moments.append(now) }
            #expect(effects.filter { $0 == .probe }.count <= 1)
            _ = health.probed(.down, at: at(now), settings: Self.settings)
            #expect(!health.tend(at: at(now), settings: Self.settings).contains(.probe))
        }
        #expect(moments == [5, 15, 35, 75, 135, 195])
    }

    @Test func `an answered canary lets three through, and their answers close the breaker`() {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        #expect(health.probed(.alive, at: at(5), settings: Self.settings) == [.kick(3)])
        let claims = (0..<5).map { _ in health.claimTrial() }
        #expect(claims == [true, true, true, false, false])
        #expect(health.gate(at: at(5)) == .open(since: at(0)))
        #expect(absorb(&health, answers(served: 2, at: 6), 6) == [])
        #expect(absorb(&health, answers(served: 1, at: 7), 7) == [.breakerClosed(since: at(0))])
        #expect(health.gate(at: at(7)) == .pass)
        #expect(health.tend(at: at(200), settings: Self.settings) == [])
        #expect(health.tendAt(at(200), settings: Self.settings) == nil)
    }

    @Test func `a trial in trouble opens the breaker again without a second event`() {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        _ = health.probed(.alive, at: at(5), settings: Self.settings)
        #expect(absorb(&health, troubles(1, at: 6), 7) == [])
        #expect(health.gate(at: at(7)) == .open(since: at(0)))
    }

    @Test func `one good trial is enough when no second connection comes`() {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        _ = health.probed(.alive, at: at(5), settings: Self.settings)
        absorb(&health, answers(served: 1, at: 6), 6)
        #expect(health.tend(at: at(34), settings: Self.settings) == [])
        #expect(health.tend(at: at(35), settings: Self.settings) == [.breakerClosed(since: at(0))])
    }

    @Test func `trials that nobody took are given anew`() {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        _ = health.probed(.alive, at: at(5), settings: Self.settings)
        while health.claimTrial() {}
        #expect(health.tend(at: at(36), settings: Self.settings) == [.kick(3)])
        #expect(claim(&health))
    }

    @Test func `a limit of one connection is its own, of two the endpoint's, and no longer than the cap`() {
        var health = HostHealth()
        var report = HealthReport()
        report.limits = [.init(voice: "1", until: at(600))]
        absorb(&health, report, 0)
        absorb(&health, report, 1)
        #expect(health.gate(at: at(1)) == .pass)
        report.limits = [.init(voice: "2", until: at(300))]
        absorb(&health, report, 2)
        #expect(health.gate(at: at(2)) == .blocked(until: at(600)))
        #expect(health.gate(at: at(601)) == .pass)
        report.limits = [.init(voice: "1", until: at(500_000)), .init(voice: "2", until: at(500_000))]
        absorb(&health, report, 10)
        #expect(health.gate(at: at(10)) == .blocked(until: at(910)))
    }

    // MARK: Quarantine

    @Test func `one account's word is evidence, and asks for a probe at once`() {
        var health = HostHealth()
        #expect(absorb(&health, fault("1", at: 0), 1) == [])
        #expect(health.gate(at: at(1)) == .pass)
        #expect(health.tend(at: at(1), settings: Self.settings) == [.probe])
        #expect(health.tend(at: at(2), settings: Self.settings) == [])
        #expect(health.probed(.alive, at: at(2), settings: Self.settings) == [])
        absorb(&health, fault("1", at: 60), 60)
        #expect(health.gate(at: at(60)) == .pass)
    }

    @Test func `a probe that agrees makes it a quarantine`() {
        var health = HostHealth()
        absorb(&health, fault("1", at: 0), 1)
        #expect(
            health.probed(.appFault, at: at(2), settings: Self.settings) == [.quarantined(reason: "invalid_client")])
        #expect(health.gate(at: at(3)) == .quarantined(since: at(2)))
    }

    @Test func `a second account agrees, unless somebody is served meanwhile`() {
        var health = HostHealth()
        absorb(&health, fault("1", at: 0), 0)
        #expect(absorb(&health, fault("2", at: 0.5), 0.5) == [])
        #expect(absorb(&health, fault("3", at: 2), 2) == [.quarantined(reason: "invalid_client")])

        health = HostHealth()
        absorb(&health, fault("1", at: 0), 0)
        absorb(&health, fault("2", at: 0.5), 0.5)
        absorb(&health, answers(served: 1, at: 1), 1)
        #expect(health.tend(at: at(3), settings: Self.settings) == [])
        #expect(health.gate(at: at(3)) == .pass)
    }

    @Test func `a quarantine ends with an attempt that began later and was served, by way of trials`() {
        var health = HostHealth()
        absorb(&health, fault("1", at: 0), 1)
        _ = health.probed(.appFault, at: at(2), settings: Self.settings)
        #expect(absorb(&health, answers(served: 1, at: 1), 3) == [])
        #expect(claim(&health) == false)
        #expect(health.probed(.alive, at: at(62), settings: Self.settings) == [.kick(3)])
        #expect(health.gate(at: at(62)) == .trial)
        #expect(claim(&health))
        absorb(&health, fault("2", at: 63), 63)
        #expect(claim(&health) == false)
        _ = health.probed(.alive, at: at(122), settings: Self.settings)
        #expect(claim(&health))
        #expect(absorb(&health, answers(served: 1, at: 123), 124) == [.resumed(since: at(2))])
        #expect(health.gate(at: at(124)) == .pass)
    }

    @Test func `a new secret is probed at once`() {
        var health = HostHealth()
        health.secretChanged(to: 1, at: at(0))
        absorb(&health, fault("1", at: 0), 1)
        _ = health.probed(.appFault, at: at(2), settings: Self.settings)
        #expect(health.tend(at: at(10), settings: Self.settings) == [])
        health.secretChanged(to: 2, at: at(11))
        #expect(health.tend(at: at(11), settings: Self.settings) == [.probe])
    }

    // MARK: Waves

    @Test(arguments: [(4, 0, false), (5, 0, true), (5, 1, true), (5, 2, false), (20, 5, false), (21, 48, true),
        (21, 49, false), (300, 700, false), (301, 699, true)])
    func `a wave is many, or nearly all of a few`(refused: Int, served: Int, isWave: Bool) {
        var health = HostHealth()
        absorb(&health, answers(served: served, at: 0), 0)
        let effects = absorb(&health, answers(refused: refused, at: 1), 1)
        #expect((health.waveSince != nil) == isWave)
        #expect(effects == (isWave ? [.waveBegan(refused: refused, answers: refused + served)] : []))
    }

    @Test func `refusals of more than a window ago are in no wave`() {
        var health = HostHealth()
        absorb(&health, answers(refused: 4, at: 0), 0)
        #expect(absorb(&health, answers(refused: 4, at: 75), 75) == [])
    }

    @Test func `re-tests feed no wave, and three in a row that succeed end it`() {
        var health = HostHealth()
        #expect(absorb(&health, retests(refused: 50, at: 0), 0) == [])
        absorb(&health, answers(refused: 5, at: 0), 0)
        absorb(&health, retests(served: 2, at: 60), 60)
        absorb(&health, retests(refused: 1, at: 61), 61)
        absorb(&health, retests(served: 2, at: 62), 62)
        #expect(health.waveSince != nil)
        #expect(absorb(&health, retests(served: 1, at: 63), 63) == [.waveEnded(since: at(0), .disproved)])
        #expect(absorb(&health, answers(served: 1, at: 64), 64) == [])
    }

    @Test func `one held connection a minute is tested, and after nine tenths of the hold all are`() throws {
        var health = HostHealth()
        absorb(&health, answers(refused: 5, at: 0), 0)
        var now = 0.0
        var tried = 0
        while health.waveSince != nil {
            now = try #require(health.tendAt(at(now), settings: Self.settings)).timeIntervalSince(start)
            let effects = health.tend(at: at(now), settings: Self.settings)
            if effects.contains(.tryHeld) {
                tried += 1
                absorb(&health, retests(refused: 1, at: now), now)
            } else if health.waveSince == nil {
                #expect(effects == [.waveEnded(since: at(0), .patience)])
            }
        }
        #expect(now == 1620)
        #expect((25...27).contains(tried))
    }

    @Test func `others who are served for five minutes end the wave`() {
        var health = HostHealth()
        absorb(&health, answers(refused: 30, at: 0), 0)
        var ended: Double?
        for second in stride(from: 70.0, to: 1000, by: 5) {
            let effects =
                absorb(&health, answers(served: 5, at: second), second)
                + health.tend(at: at(second), settings: Self.settings)
            if effects.contains(.waveEnded(since: at(0), .calm)) {
                ended = second
                break
            }
        }
        #expect(ended.map { (360...400).contains($0) } == true)
    }

    @Test func `an operator's release lets everything through`() {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        absorb(&health, answers(refused: 30, at: 0), 0)
        #expect(health.release(at: at(1)).count == 2)
        #expect(health.gate(at: at(1)) == .pass)
        #expect(health.waveSince == nil)
    }

    // MARK: All together

    @Test func `what a row keeps reads back, and an older version's row has first values`() throws {
        var health = HostHealth()
        absorb(&health, troubles(5, at: 0), 0)
        absorb(&health, fault("1", at: 0), 0)
        absorb(&health, answers(refused: 30, at: 0), 0)
        #expect(try HostHealth(json: health.json()) == health)
        #expect(try HostHealth(json: Array("{}".utf8)) == HostHealth())
        #expect(try HostHealth(json: Array(#"{"breaker":"closed","of_a_newer_version":1}"#.utf8)) == HostHealth())
    }

    /// Whatever is reported in whatever order: no episode begins twice without ending, nothing stays shut without a
    /// moment at which somebody looks after it, and at most so many trials are given out as there are.
    @Test(arguments: 0..<200)
    func `any story keeps its episodes in pairs and never strands an endpoint`(seed: Int) throws {
        var random = Seeded(state: UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1)
        var health = HostHealth()
        var now = 0.0
        var isOpen = false
        var isQuarantined = false
        var isWave = false
        var trials = 0
        for _ in 0..<300 {
            now += Double.random(in: 0...20, using: &random)
            let began = max(0, now - Double.random(in: 0...10, using: &random))
            var effects: [HealthEffect]
            switch Int.random(in: 0..<9, using: &random) {
            case 0: effects = absorb(&health, troubles(.random(in: 1...6, using: &random), at: began), now)
            case 1: effects = absorb(&health, answers(served: .random(in: 1...9, using: &random), at: began), now)
            case 2: effects = absorb(&health, answers(refused: .random(in: 1...9, using: &random), at: began), now)
            case 3: effects = absorb(&health, fault("\(Int.random(in: 0..<3, using: &random))", at: began), now)
            case 4: effects = absorb(&health, retests(served: 1, at: began), now)
            case 5: effects = absorb(&health, retests(refused: 1, at: began), now)
            case 6: effects = health.probed([.alive, .down, .appFault, .reachable][Int.random(in: 0..<4, using: &random)], at: at(now), settings: Self.settings)
            case 7:
                if health.gate(at: at(now)) == .trial, health.claimTrial() { trials += 1 }
                effects = []
            default: effects = health.tend(at: at(now), settings: Self.settings)
            }
            for effect in effects {
                switch effect {
                case .breakerOpened:
                    #expect(!isOpen)
                    isOpen = true
                case .breakerClosed:
                    #expect(isOpen)
                    isOpen = false
                case .quarantined:
                    #expect(!isQuarantined)
                    isQuarantined = true
                case .resumed:
                    #expect(isQuarantined)
                    isQuarantined = false
                case .waveBegan:
                    #expect(!isWave)
                    isWave = true
                case .waveEnded:
                    #expect(isWave)
                    isWave = false
                case .kick(let count):
                    #expect(count <= Self.settings.trials)
                    trials = 0
                case .probe, .tryHeld: break
                }
            }
            #expect(trials <= 2 * Self.settings.trials)
            #expect((health.openedAt != nil) == isOpen)
            #expect((health.quarantinedAt != nil) == isQuarantined)
            #expect((health.waveSince != nil) == isWave)
            if health.gate(at: at(now)) != .pass || isWave {
                #expect(health.tendAt(at(now), settings: Self.settings) != nil)
            }
            #expect(try HostHealth(json: health.json()) == health)
        }
        // Left alone with a provider that works, everything ends.
        for _ in 0..<2000 where health.gate(at: at(now)) != .pass || health.waveSince != nil {
            now = max(now, try #require(health.tendAt(at(now), settings: Self.settings)).timeIntervalSince(start))
            if health.tend(at: at(now), settings: Self.settings).contains(.probe) {
                _ = health.probed(.alive, at: at(now), settings: Self.settings)
            }
            if health.gate(at: at(now)) == .trial, health.claimTrial() {
                now += 1
                absorb(&health, answers(served: 1, at: now), now)
            }
        }
        #expect(health.gate(at: at(now)) == .pass)
        #expect(health.waveSince == nil)
    }
}

/// SplitMix64.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
