import Pacing
import Store

/// Every duration of the lifecycle, so that a test can live a day in a minute.
package struct LifecycleTimings: Sendable, Hashable {
    /// `lifecycle.attempt_length`: from a mark to its deadline.
    package var attemptLength: Duration = .seconds(30)
    /// `lifecycle.send_within`: how long after taking its clock a sender may still send. Shorter than an attempt.
    package var sendWithin: Duration = .seconds(5)
    /// `lifecycle.request_timeout`: of one call to a provider. With ``sendWithin`` it stays below ``attemptLength``.
    package var requestTimeout: Duration = .seconds(20)
    /// `lifecycle.confirm_after`: from a first refusal to its re-test; 0 is allowed.
    package var confirmAfter: Duration = .seconds(60)
    /// `lifecycle.backoff_base`, `lifecycle.backoff_cap`: between attempts that met trouble.
    package var backoff = Backoff(base: .seconds(5), cap: .seconds(6 * 3600))
    /// `lifecycle.claim`: how far ahead planning moves a due time, so that a lost job strands nobody.
    package var claim: Duration = .seconds(15 * 60)
    /// `lifecycle.quarantine_probe`: between the probes of a suspended OAuth app.
    package var quarantineProbe: Duration = .seconds(60)
    /// `lifecycle.revocation_patience`: after it secrets are destroyed although the provider never confirmed.
    package var revocationPatience: Duration = .seconds(7 * 86_400)
    /// `lifecycle.validate_every`: between probes of a connection; zero switches them off.
    package var validateEvery: Duration = .seconds(86_400)
    /// `lifecycle.validate_gap`: a connection whose calls are refused is probed at most once in it.
    package var validateGap: Duration = .seconds(60)
    /// `lifecycle.caller_patience`: how long a call waits for a refresh that somebody else is making.
    package var callerPatience: Duration = .seconds(25)
    /// `lifecycle.expiry_margin`: a token that ends within it is refreshed before it is used (at most a tenth of its
    /// life).
    package var expiryMargin: Duration = .seconds(30)
    /// `lifecycle.server_watch`: between two looks whether the database is still the server that is known.
    package var serverWatch: Duration = .seconds(1)
    /// `lifecycle.journal_patience`: how long a change of server waits for a journal that stays silent.
    package var journalPatience: Duration = .seconds(900)

    /// `lifecycle.endangered_within`: a due connection whose grant is lost within it is refreshed before all others.
    package var endangeredWithin: Duration = .seconds(86_400)
    /// Tiers, keep-alive and warnings.
    package var planning = PlanningRules()
    /// `health.…`: when trouble counts as the provider's.
    package var health = HealthSettings()

    package init() {}
}
