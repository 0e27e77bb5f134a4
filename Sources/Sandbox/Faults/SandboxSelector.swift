/// Which requests a fault or a gate is for. What is nil matches everything.
package struct SandboxSelector: Sendable {
    package var providerClass: ProviderClass?
    package var endpoint: SandboxEndpoint?
    package var account: String?
    package var client: String?
    /// What follows the `@` of the account: the customer whose directory it belongs to.
    package var tenant: String?

    package init(
        _ providerClass: ProviderClass? = nil, _ endpoint: SandboxEndpoint? = nil, account: String? = nil,
        client: String? = nil, tenant: String? = nil
    ) {
        self.providerClass = providerClass
        self.endpoint = endpoint
        self.account = account
        self.client = client
        self.tenant = tenant
    }

    func matches(_ arrival: Ledger.Arrival) -> Bool {
        (providerClass == nil || providerClass == arrival.providerClass)
            && (endpoint == nil || endpoint == arrival.endpoint)
            && (account == nil || account == arrival.account)
            && (client == nil || client == arrival.client)
            && (tenant == nil || arrival.account?.hasSuffix("@" + (tenant ?? "")) == true)
    }
}
