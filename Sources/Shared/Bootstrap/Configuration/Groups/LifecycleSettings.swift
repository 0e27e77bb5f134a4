import Lifecycle
import Pacing
import Store

/// Every duration of the lifecycle, from configuration.
enum LifecycleSettings {
    private static let standard = LifecycleTimings()
    private static let upToAYear = Duration.zero ... .seconds(366 * 86_400)
    private static let positive = Duration.milliseconds(1) ... .seconds(366 * 86_400)

    static let attemptLength = Setting(
        "lifecycle.attempt_length", .duration(positive), default: standard.attemptLength,
        "From the mark of an attempt to its deadline.")
    static let sendWithin = Setting(
        "lifecycle.send_within", .duration(positive), default: standard.sendWithin,
        "How long after its start an attempt may still send.")
    static let requestTimeout = Setting(
        "lifecycle.request_timeout", .duration(positive), default: standard.requestTimeout,
        "Longest call to a provider; with `lifecycle.send_within` at most `lifecycle.attempt_length`.")
    static let confirmAfter = Setting(
        "lifecycle.confirm_after", .duration(upToAYear), default: standard.confirmAfter,
        "From a first refusal to the test that confirms it; `0s` is allowed.")
    static let backoffBase = Setting(
        "lifecycle.backoff_base", .duration(positive), default: standard.backoff.base,
        "First wait after trouble; it doubles, with full jitter.")
    static let backoffCap = Setting(
        "lifecycle.backoff_cap", .duration(positive), default: standard.backoff.cap, "Longest wait after trouble.")
    static let claim = Setting(
        "lifecycle.claim", .duration(positive), default: standard.claim,
        "How far planning moves a due time ahead, so that a lost job strands nobody.")
    static let quarantineProbe = Setting(
        "lifecycle.quarantine_probe", .duration(positive), default: standard.quarantineProbe,
        "Time between two probes of a suspended OAuth app.")
    static let revocationPatience = Setting(
        "lifecycle.revocation_patience", .duration(positive), default: standard.revocationPatience,
        "After it the secrets of a deleted connection are destroyed although its provider never confirmed.")
    static let validateEvery = Setting(
        "lifecycle.validate_every", .duration(upToAYear), default: standard.validateEvery,
        "Time between two probes of a connection; `0s` switches them off.")
    static let validateGap = Setting(
        "lifecycle.validate_gap", .duration(positive), default: standard.validateGap,
        "A connection whose calls are answered with 401 is probed at most once in it.")
    static let callerPatience = Setting(
        "lifecycle.caller_patience", .duration(positive), default: standard.callerPatience,
        "Longest wait of a call for a refresh that somebody else is making.")
    static let expiryMargin = Setting(
        "lifecycle.expiry_margin", .duration(upToAYear), default: standard.expiryMargin,
        "A token that ends within it is refreshed before it is used; at most a tenth of its life.")
    static let serverWatch = Setting(
        "lifecycle.server_watch", .duration(positive), default: standard.serverWatch,
        "Time between two looks whether the database is still the server that is known.")
    static let journalPatience = Setting(
        "lifecycle.journal_patience", .duration(positive), default: standard.journalPatience,
        "After a change of server: how long to wait for an escrow journal that stays silent.")

    static let hotFor = Setting(
        "lifecycle.hot_for", .duration(.zero ... .seconds(3660 * 86_400)), default: standard.planning.hotFor,
        "A connection used or made within it is refreshed ahead of its token's end; others on use and to stay alive.")
    static let keepAliveAtMost = Setting(
        "lifecycle.keep_alive_at_most", .duration(positive), default: standard.planning.keepAliveAtMost,
        "Longest time between two refreshes of an unused connection; a third of its idle limit where that is shorter.")
    static let warnBefore = Setting(
        "lifecycle.warn_before", .durations(positive), default: standard.planning.warnBefore,
        "How long before an end that refreshing cannot move `connection.expiring` is told; empty: never.")
    static let endangeredWithin = Setting(
        "lifecycle.endangered_within", .duration(upToAYear), default: standard.endangeredWithin,
        "A due connection whose grant is lost within it is refreshed before all others.")

    static let rows = [
        attemptLength.row, sendWithin.row, requestTimeout.row, confirmAfter.row, backoffBase.row, backoffCap.row,
        claim.row, quarantineProbe.row, revocationPatience.row, validateEvery.row, validateGap.row,
        callerPatience.row, expiryMargin.row, serverWatch.row, journalPatience.row, hotFor.row, keepAliveAtMost.row,
        warnBefore.row, endangeredWithin.row,
    ]
}

extension LifecycleTimings {
    init(reading reader: SettingsReader) {
        self.init()
        attemptLength = reader.value(LifecycleSettings.attemptLength)
        sendWithin = reader.value(LifecycleSettings.sendWithin)
        requestTimeout = reader.value(LifecycleSettings.requestTimeout)
        confirmAfter = reader.value(LifecycleSettings.confirmAfter)
        backoff = Backoff(
            base: reader.value(LifecycleSettings.backoffBase), cap: reader.value(LifecycleSettings.backoffCap))
        claim = reader.value(LifecycleSettings.claim)
        quarantineProbe = reader.value(LifecycleSettings.quarantineProbe)
        revocationPatience = reader.value(LifecycleSettings.revocationPatience)
        validateEvery = reader.value(LifecycleSettings.validateEvery)
        validateGap = reader.value(LifecycleSettings.validateGap)
        callerPatience = reader.value(LifecycleSettings.callerPatience)
        expiryMargin = reader.value(LifecycleSettings.expiryMargin)
        serverWatch = reader.value(LifecycleSettings.serverWatch)
        journalPatience = reader.value(LifecycleSettings.journalPatience)
        planning.hotFor = reader.value(LifecycleSettings.hotFor)
        planning.keepAliveAtMost = reader.value(LifecycleSettings.keepAliveAtMost)
        planning.warnBefore = reader.value(LifecycleSettings.warnBefore)
        endangeredWithin = reader.value(LifecycleSettings.endangeredWithin)
        health = HealthSettings(reading: reader)
        check(reader)
    }

    /// What the protocol asks of the durations together.
    private func check(_ reader: SettingsReader) {
        if sendWithin + requestTimeout > attemptLength {
            reader.record(
                LifecycleSettings.attemptLength.name,
                "is shorter than lifecycle.send_within and lifecycle.request_timeout together",
                repair: "make it at least \(DurationText.print(sendWithin + requestTimeout))")
        }
        if backoff.base > backoff.cap {
            reader.record(
                LifecycleSettings.backoffBase.name, "is longer than lifecycle.backoff_cap",
                repair: "make it at most \(DurationText.print(backoff.cap))")
        }
    }
}
