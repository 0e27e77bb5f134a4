/// Everything of the sandbox that the control API can change and a reset puts back.
package struct SandboxSettings: Sendable, Equatable, Codable {
    /// What the ledger keeps.
    package enum LedgerDepth: String, Sendable, Codable, CaseIterable {
        /// Every request, call and token, up to `ledger_capacity` lines each and 512 dead tokens a grant.
        case full
        /// Counters only, and 16 dead tokens a grant: for benchmarks.
        case counts
    }

    /// `ledger` (`full`).
    package var ledger: LedgerDepth = .full
    /// `ledger_capacity` (lines, 100 000): the oldest go first.
    package var ledgerCapacity = 100_000
    /// `classes`: the behaviour of each class.
    package var classes: [ProviderClass: ClassSettings]

    package init() {
        classes = Dictionary(uniqueKeysWithValues: ProviderClass.allCases.map { ($0, .standard($0)) })
    }

    /// The behaviour of one class.
    package subscript(providerClass: ProviderClass) -> ClassSettings {
        get { classes[providerClass] ?? .standard(providerClass) }
        set { classes[providerClass] = newValue }
    }

    /// Dead tokens remembered per grant, so that their replay is known for one.
    var deadTokensKept: Int { ledger == .full ? 512 : 16 }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case ledger, classes
        case ledgerCapacity = "ledger_capacity"
    }
}
