import Pacing

/// What is known of how long a provider's grants and tokens live. Nil: unknown, or without end.
package struct GrantLifetimes: Sendable, Hashable {
    /// Used when an answer names no expiry.
    package var defaultAccessLife: Duration?
    /// A refresh token unused for so long dies; it is refreshed at a third of it. Nil: unknown; zero: it is known that
    /// none does.
    package var idleLimit: Duration?
    /// The grant ends so long after its consent, whatever we do.
    package var absoluteLimit: Duration?
    /// How often the integration's probe runs.
    package var validateEvery: Duration?
    package var rules: PlanningRules

    package init(
        defaultAccessLife: Duration? = nil, idleLimit: Duration? = nil, absoluteLimit: Duration? = nil,
        validateEvery: Duration? = nil, rules: PlanningRules = PlanningRules()
    ) {
        self.defaultAccessLife = defaultAccessLife
        self.idleLimit = idleLimit
        self.absoluteLimit = absoluteLimit
        self.validateEvery = validateEvery
        self.rules = rules
    }

    /// With what the operator set for the OAuth app.
    package func overridden(by app: AppPlanning) -> GrantLifetimes {
        var lifetimes = self
        if let limit = app.idleLimit { lifetimes.idleLimit = limit }
        if let limit = app.absoluteLimit { lifetimes.absoluteLimit = limit }
        if let time = app.hotFor { lifetimes.rules.hotFor = time }
        return lifetimes
    }
}
