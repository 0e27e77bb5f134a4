/// When trouble counts as trouble of a provider, and how it is waited out. Every figure is configuration.
package struct HealthSettings: Sendable, Hashable {
    /// `health.window`: over which outcomes of a token endpoint are counted.
    package var window: Duration = .seconds(60)
    /// `health.flush`: how often a process tells the fleet what it saw, and reads what the others saw.
    package var flush: Duration = .seconds(1)

    /// `health.breaker_run`: so many troubles with no answer between them open the breaker.
    package var breakerRun = 5
    /// `health.breaker_count`, `health.breaker_percent`: or so many in a window, when they are this share of all.
    package var breakerCount = 20
    package var breakerRate = 0.5
    /// `health.canary_base`, `health.canary_cap`: from the opening to the first canary, doubling between canaries.
    package var canaryBase: Duration = .seconds(5)
    package var canaryCap: Duration = .seconds(60)
    /// `health.trials`: attempts let through after a canary was answered; as many answers close the breaker.
    package var trials = 3
    /// `health.trial_period`: after it one good trial is enough, and unused trials are given anew.
    package var trialPeriod: Duration = .seconds(30)
    /// `health.recheck_base`, `health.recheck_cap`: how soon a connection that was held asks again; a quarter of the
    /// trouble's age, within these, and up to twice that at random.
    package var recheckBase: Duration = .seconds(30)
    package var recheckCap: Duration = .seconds(600)
    /// `health.ramp`: over which waiting connections come back, ever more of them a second.
    package var ramp: Duration = .seconds(120)
    /// `health.block_cap`: the longest that one `Retry-After` holds a whole endpoint. The connection that got it obeys
    /// all of it.
    package var blockCap: Duration = .seconds(900)

    /// `health.fault_settle`: how long the agreement of a second account waits for a contradiction.
    package var faultSettle: Duration = .seconds(2)
    /// `health.fault_memory`: how long one refusal of the OAuth app waits for a second.
    package var faultMemory: Duration = .seconds(900)

    /// `health.wave_count`, `health.wave_percent`: more refusals than this in a window, being more than this share.
    package var waveCount = 20
    package var waveRate = 0.3
    /// `health.wave_small_count`, `health.wave_small_percent`: or at least so many, being more than this share.
    package var waveSmallCount = 5
    package var waveSmallRate = 0.8
    /// `health.wave_hold`: the longest that a verdict is held; in its last tenth the held are tested again.
    package var waveHold: Duration = .seconds(1800)
    /// `health.wave_probe`: between tests of single held connections.
    package var waveProbe: Duration = .seconds(60)
    /// `health.wave_proofs`: so many of them in a row that succeed end the wave.
    package var waveProofs = 3
    /// `health.wave_calm`: or this long with others served and hardly a refusal.
    package var waveCalm: Duration = .seconds(300)

    /// `lifecycle.quarantine_probe`, repeated here.
    package var quarantineProbe: Duration = .seconds(60)

    package init() {}

    /// From the start of a wave to the tests that decide.
    var waveDecision: Duration { waveHold - waveHold / 10 }

    /// Over which they are made: the rest of the hold is for making them.
    var waveDecisionSpread: Duration { waveHold / 20 }

    func canaryInterval(after probes: Int) -> Duration {
        min(canaryCap, canaryBase * (1 << min(max(probes, 0), 20)))
    }
}
