import Lifecycle

/// When trouble counts as the provider's, from configuration. What each does: `docs/provider-health.md`.
enum ProviderHealthSettings {
    private static let standard = HealthSettings()
    private static let positive = Duration.milliseconds(1) ... .seconds(366 * 86_400)

    static let window = Setting(
        "health.window", .duration(positive), default: standard.window,
        "Over which outcomes of a token endpoint are counted.")
    static let flush = Setting(
        "health.flush", .duration(positive), default: standard.flush,
        "How often a process tells the fleet what it saw of providers, and reads what others saw.")
    static let breakerRun = Setting(
        "health.breaker_run", .integer(1...1_000_000), default: standard.breakerRun,
        "So many troubles with no answer between them open the breaker of a token endpoint.")
    static let breakerCount = Setting(
        "health.breaker_count", .integer(1...1_000_000), default: standard.breakerCount,
        "Or so many in a window, when they are `health.breaker_percent` of all.")
    static let breakerPercent = Setting(
        "health.breaker_percent", .integer(1...100), default: Int(standard.breakerRate * 100),
        "Share of troubles that opens the breaker.")
    static let canaryBase = Setting(
        "health.canary_base", .duration(positive), default: standard.canaryBase,
        "From the opening of a breaker to the first canary; it doubles between canaries.")
    static let canaryCap = Setting(
        "health.canary_cap", .duration(positive), default: standard.canaryCap, "Longest time between two canaries.")
    static let trials = Setting(
        "health.trials", .integer(1...10_000), default: standard.trials,
        "Attempts let through after a canary was answered; as many answers close the breaker.")
    static let trialPeriod = Setting(
        "health.trial_period", .duration(positive), default: standard.trialPeriod,
        "After it one good trial closes the breaker, and unused trials are given anew.")
    static let recheckBase = Setting(
        "health.recheck_base", .duration(positive), default: standard.recheckBase,
        "Shortest wait of a connection that is held; it grows with the age of the trouble.")
    static let recheckCap = Setting(
        "health.recheck_cap", .duration(positive), default: standard.recheckCap,
        "Longest wait of a connection that is held, but for up to as much again at random.")
    static let ramp = Setting(
        "health.ramp", .duration(positive), default: standard.ramp,
        "Over which waiting connections come back when a trouble is over, ever more of them a second.")
    static let blockCap = Setting(
        "health.block_cap", .duration(positive), default: standard.blockCap,
        "Longest time for which a `Retry-After` holds a whole token endpoint.")
    static let faultSettle = Setting(
        "health.fault_settle", .duration(positive), default: standard.faultSettle,
        "How long the second account's word against an OAuth app waits for a contradiction.")
    static let faultMemory = Setting(
        "health.fault_memory", .duration(positive), default: standard.faultMemory,
        "How long one account's word against an OAuth app waits for a second.")
    static let waveCount = Setting(
        "health.wave_count", .integer(1...1_000_000), default: standard.waveCount,
        "More refusals than this in a window are a wave, when they are more than `health.wave_percent` of answers.")
    static let wavePercent = Setting(
        "health.wave_percent", .integer(1...100), default: Int(standard.waveRate * 100),
        "Share of refusals that a large wave exceeds.")
    static let waveSmallCount = Setting(
        "health.wave_small_count", .integer(1...1_000_000), default: standard.waveSmallCount,
        "At least so many are one, when they are more than `health.wave_small_percent` of answers.")
    static let waveSmallPercent = Setting(
        "health.wave_small_percent", .integer(1...100), default: Int(standard.waveSmallRate * 100),
        "Share of refusals that a small wave exceeds.")
    static let waveHold = Setting(
        "health.wave_hold", .duration(positive), default: standard.waveHold,
        "Longest time for which a verdict is held; in its last tenth the held are tested again.")
    static let waveProbe = Setting(
        "health.wave_probe", .duration(positive), default: standard.waveProbe,
        "Time between the tests of single held connections.")
    static let waveProofs = Setting(
        "health.wave_proofs", .integer(1...1_000_000), default: standard.waveProofs,
        "So many of them in a row that succeed end the wave.")
    static let waveCalm = Setting(
        "health.wave_calm", .duration(positive), default: standard.waveCalm,
        "A wave also ends when others were served for so long with at most a tenth refused.")

    static let rows = [
        window.row, flush.row, breakerRun.row, breakerCount.row, breakerPercent.row, canaryBase.row, canaryCap.row,
        trials.row, trialPeriod.row, recheckBase.row, recheckCap.row, ramp.row, blockCap.row, faultSettle.row,
        faultMemory.row, waveCount.row, wavePercent.row, waveSmallCount.row, waveSmallPercent.row, waveHold.row,
        waveProbe.row, waveProofs.row, waveCalm.row,
    ]
}

extension HealthSettings {
    init(reading reader: SettingsReader) {
        self.init()
        window = reader.value(ProviderHealthSettings.window)
        flush = reader.value(ProviderHealthSettings.flush)
        breakerRun = reader.value(ProviderHealthSettings.breakerRun)
        breakerCount = reader.value(ProviderHealthSettings.breakerCount)
        breakerRate = Double(reader.value(ProviderHealthSettings.breakerPercent)) / 100
        canaryBase = reader.value(ProviderHealthSettings.canaryBase)
        canaryCap = reader.value(ProviderHealthSettings.canaryCap)
        trials = reader.value(ProviderHealthSettings.trials)
        trialPeriod = reader.value(ProviderHealthSettings.trialPeriod)
        recheckBase = reader.value(ProviderHealthSettings.recheckBase)
        recheckCap = reader.value(ProviderHealthSettings.recheckCap)
        ramp = reader.value(ProviderHealthSettings.ramp)
        blockCap = reader.value(ProviderHealthSettings.blockCap)
        faultSettle = reader.value(ProviderHealthSettings.faultSettle)
        faultMemory = reader.value(ProviderHealthSettings.faultMemory)
        waveCount = reader.value(ProviderHealthSettings.waveCount)
        waveRate = Double(reader.value(ProviderHealthSettings.wavePercent)) / 100
        waveSmallCount = reader.value(ProviderHealthSettings.waveSmallCount)
        waveSmallRate = Double(reader.value(ProviderHealthSettings.waveSmallPercent)) / 100
        waveHold = reader.value(ProviderHealthSettings.waveHold)
        waveProbe = reader.value(ProviderHealthSettings.waveProbe)
        waveProofs = reader.value(ProviderHealthSettings.waveProofs)
        waveCalm = reader.value(ProviderHealthSettings.waveCalm)
        if recheckBase > recheckCap {
            reader.record(
                ProviderHealthSettings.recheckBase.name, "is longer than health.recheck_cap",
                repair: "make it at most \(DurationText.print(recheckCap))")
        }
        if canaryBase > canaryCap {
            reader.record(
                ProviderHealthSettings.canaryBase.name, "is longer than health.canary_cap",
                repair: "make it at most \(DurationText.print(canaryCap))")
        }
    }
}
