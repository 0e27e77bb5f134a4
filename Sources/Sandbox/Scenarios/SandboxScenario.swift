/// An incident as it comes to a provider: what happens after how many seconds. Operators rehearse with it, by
/// `evergrant sandbox --scenario` or `POST /control/scenarios`.
package struct SandboxScenario: Sendable {
    /// One thing that happens.
    struct Step: Sendable {
        /// Seconds after the scenario's start.
        let after: Double
        /// What happens, for the log.
        let says: String
        let act: @Sendable (SandboxState) -> Void

        init(_ after: Double, _ says: String, _ act: @escaping @Sendable (SandboxState) -> Void) {
            self.after = after
            self.says = says
            self.act = act
        }
    }

    package let name: String
    /// What it rehearses, in one sentence.
    package let summary: String
    /// In the order of their time.
    let steps: [Step]

    /// The scenario of a name; nil when there is none.
    package static func named(_ name: String) -> SandboxScenario? { all.first { $0.name == name } }
}

extension SandboxScenario {
    /// Every scenario, in the order of the documentation.
    package static let all: [SandboxScenario] = [
        outage, slow, flaky, lostAnswers, maintenance, rateLimit, wave, revocations, expiredSecret, tenant,
    ]

    private static func fault(
        _ kind: SandboxFault.Kind, chance: Double = 1, selector: SandboxSelector = SandboxSelector(nil, .tokenRefresh),
        _ change: (inout SandboxFault) -> Void = { _ in }
    ) -> SandboxFault {
        var fault = SandboxFault(kind, selector)
        fault.probability = chance
        change(&fault)
        return fault
    }

    private static let heal = { @Sendable (state: SandboxState) in _ = state.removeFaults() }

    private static let outage = SandboxScenario(
        name: "outage", summary: "The token and API endpoints answer 503 for two minutes, then everything works again.",
        steps: [
            Step(10, "everything answers 503") { $0.add(fault(.errorBefore, selector: SandboxSelector())) },
            Step(130, "the outage is over", heal),
        ])

    private static let slow = SandboxScenario(
        name: "slow",
        summary: "Refreshes take 4 s, then 15 s, then some are never answered; after three minutes they are fast.",
        steps: [
            Step(10, "refreshes take 4 s") { $0.add(fault(.slow) { $0.milliseconds = 4000 }) },
            Step(70, "refreshes take 15 s") { state in
                heal(state)
                state.add(fault(.slow) { $0.milliseconds = 15_000 })
            },
            Step(130, "one refresh in three is done and never answered") { state in
                heal(state)
                state.add(fault(.hang, chance: 0.33) { $0.hang = .before })
            },
            Step(190, "refreshes are fast again", heal),
        ])

    private static let flaky = SandboxScenario(
        name: "flaky", summary: "For five minutes one refresh in four goes wrong, in every way there is.",
        steps: [
            Step(10, "one refresh in four goes wrong") { state in
                for kind in [
                    SandboxFault.Kind.errorBefore, .errorAfter, .lostAnswer, .cutBody, .html, .closed,
                ] {
                    state.add(fault(kind, chance: 0.045))
                }
            },
            Step(310, "refreshes work again", heal),
        ])

    private static let lostAnswers = SandboxScenario(
        name: "lost-answers", summary: "For 30 s every refresh is done, and no answer arrives: the worst there is.",
        steps: [
            Step(10, "no answer arrives") { $0.add(fault(.lostAnswer)) },
            Step(40, "answers arrive again", heal),
        ])

    private static let maintenance = SandboxScenario(
        name: "maintenance", summary: "For two minutes a page says 200 and `We'll be back soon`.",
        steps: [
            Step(10, "an HTML page with status 200 stands before everything") {
                $0.add(fault(.html, selector: SandboxSelector()))
            },
            Step(130, "the page is gone", heal),
        ])

    private static let rateLimit = SandboxScenario(
        name: "rate-limit", summary: "429 with Retry-After in whole seconds, with a fraction, as a date, and without.",
        steps: [
            Step(10, "429, Retry-After: 5") { $0.add(fault(.tooMany) { $0.retryAfter = "5" }) },
            Step(40, "429, Retry-After: 1.5") { state in
                heal(state)
                state.add(fault(.tooMany) { $0.retryAfter = "1.5" })
            },
            Step(70, "429, Retry-After as a date that is over") { state in
                heal(state)
                state.add(fault(.tooMany) { $0.retryAfter = "Wed, 21 Oct 2015 07:28:00 GMT" })
            },
            Step(100, "429 without Retry-After") { state in
                heal(state)
                state.add(fault(.tooMany))
            },
            Step(130, "no limit any more", heal),
        ])

    private static let wave = SandboxScenario(
        name: "wave", summary: "For two minutes nine refreshes in ten are refused as invalid_grant, falsely.",
        steps: [
            Step(10, "false invalid_grant for nine in ten") { $0.add(fault(.invalidGrant, chance: 0.9)) },
            Step(130, "the wave is over; nobody has revoked anything", heal),
        ])

    private static let revocations = SandboxScenario(
        name: "revocations", summary: "Every ten seconds a user really revokes, ten in all.",
        steps: (1...10).map { number in
            Step(Double(number) * 10, "a user revokes") { state in
                if let grant = state.grants().first(where: \.alive) { state.revoke(grant: grant.id) }
            }
        })

    private static let expiredSecret = SandboxScenario(
        name: "expired-secret",
        summary: "The secret of sandbox-client ends; sandbox-secret-2 is good, and stays so.",
        steps: [
            Step(0, "sandbox-secret-2 is good beside the old one") {
                $0.add(secret: "sandbox-secret-2", toClient: SandboxConfiguration.clientID)
            },
            Step(10, "the old secret has expired: give the OAuth app sandbox-secret-2") {
                $0.expire(secret: SandboxConfiguration.clientSecret, ofClient: SandboxConfiguration.clientID)
            },
        ])

    private static let tenant = SandboxScenario(
        name: "tenant", summary: "One customer's directory refuses the app for two minutes; every other works.",
        steps: [
            Step(10, "accounts of example.com get AADSTS700016") {
                $0.add(
                    fault(.custom, selector: SandboxSelector(nil, .tokenRefresh, tenant: "example.com")) {
                        $0.status = 400
                        $0.headers = [("content-type", "application/json")]
                        $0.body =
                            #"{"error":"unauthorized_client","error_description":"AADSTS700016: Application not found in the directory"}"#
                    })
            },
            Step(130, "the directory knows the app again", heal),
        ])
}
