/// What happened at the provider: counters always, lines where the settings ask for them.
struct Ledger: Sendable {
    /// A counter's name.
    struct Tally: Hashable, Sendable {
        let providerClass: ProviderClass
        let endpoint: SandboxEndpoint
        let outcome: Outcome
        let delivery: Delivery
    }

    /// A request that has arrived: what later events need to find its line and its grant.
    struct Arrival: Sendable {
        let request: Int
        let line: Int?
        let providerClass: ProviderClass
        let endpoint: SandboxEndpoint
        let client: String
        let grant: Int?
        let account: String?
    }

    var depth: SandboxSettings.LedgerDepth
    private(set) var requests: RecentLines<RequestLine>
    private(set) var calls: RecentLines<CallLine>
    private(set) var tallies: [Tally: Int] = [:]

    init(_ settings: SandboxSettings) {
        depth = settings.ledger
        requests = RecentLines(capacity: settings.ledgerCapacity)
        calls = RecentLines(capacity: settings.ledgerCapacity)
    }

    /// Writes a line where lines are kept. `make` gets the line's number.
    mutating func open(_ make: (Int) -> RequestLine) -> Int? {
        guard depth == .full else { return nil }
        let number = requests.next
        requests.append(make(number))
        return number
    }

    mutating func open(call make: (Int) -> CallLine) -> Int? {
        guard depth == .full else { return nil }
        let number = calls.next
        calls.append(make(number))
        return number
    }

    mutating func update(_ arrival: Arrival, _ change: (inout RequestLine) -> Void) {
        if let line = arrival.line, arrival.endpoint != .api { requests.update(line, change) }
    }

    mutating func update(call arrival: Arrival, _ change: (inout CallLine) -> Void) {
        if let line = arrival.line, arrival.endpoint == .api { calls.update(line, change) }
    }

    mutating func count(_ arrival: Arrival, _ outcome: Outcome, _ delivery: Delivery) {
        tallies[
            Tally(
                providerClass: arrival.providerClass, endpoint: arrival.endpoint, outcome: outcome, delivery: delivery),
            default: 0] += 1
    }
}
