/// What a provider does to grants besides refreshing and revoking them.
package struct GrantRules: Sendable, Hashable {
    /// A second grant of one account to one OAuth app ends the first (Fitbit, Monzo).
    package let onePerAccount: Bool
    /// A new client secret ends every grant of the OAuth app (Ramp): two secrets cannot be in use side by side.
    package let endWithClientSecret: Bool

    package init(onePerAccount: Bool = false, endWithClientSecret: Bool = false) {
        self.onePerAccount = onePerAccount
        self.endWithClientSecret = endWithClientSecret
    }
}

extension GrantRules {
    /// Reads `grants`: `one_per_account` and `end_with_client_secret`, both false when left out.
    init(reading fields: YAMLFields) {
        let inner = fields.fields("grants")
        self.init(
            onePerAccount: inner?.bool("one_per_account") ?? false,
            endWithClientSecret: inner?.bool("end_with_client_secret") ?? false)
        inner?.finish()
    }
}
