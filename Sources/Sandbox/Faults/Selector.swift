/// Which requests a fault or a gate is for. What is nil matches everything.
struct Selector: Sendable {
    var providerClass: ProviderClass?
    var endpoint: SandboxEndpoint?
    var account: String?
    var client: String?

    func matches(_ arrival: Ledger.Arrival) -> Bool {
        (providerClass == nil || providerClass == arrival.providerClass)
            && (endpoint == nil || endpoint == arrival.endpoint)
            && (account == nil || account == arrival.account)
            && (client == nil || client == arrival.client)
    }
}
