/// A request on its way through the provider.
struct Call: Sendable {
    let arrival: Ledger.Arrival
    /// Whether no fault and no gate exists, so that it needs no further look.
    let isPlain: Bool
}

extension SandboxState {
    /// Notes a request at the token or revocation endpoint.
    /// - Parameter token: The refresh token, code or token to revoke, as presented.
    func arrive(
        _ endpoint: SandboxEndpoint, of providerClass: ProviderClass, client: String, token: String?
    ) -> Call {
        withBook { book, now in
            let place = token.flatMap { book.places[$0] }
            var grant = place?.grant
            if let id = grant, book.grants[id]?.providerClass != providerClass { grant = nil }
            var account = grant.flatMap { book.grants[$0]?.account }
            if endpoint == .tokenCode, let token { account = book.codes[token]?.account }
            var inFlight = 0
            if let grant {
                book.grants[grant]?.enter()
                inFlight = book.grants[grant]?.inFlight ?? 0
            }
            let request = book.nextRequest()
            let line = book.ledger.open { _ in
                RequestLine(
                    id: request, time: now, providerClass: providerClass, endpoint: endpoint, client: client,
                    grant: grant.map { "g\($0)" }, token: grant == nil ? nil : place?.token, inFlight: inFlight)
            }
            let arrival = Ledger.Arrival(
                request: request, line: line, providerClass: providerClass, endpoint: endpoint, client: client,
                grant: grant, account: account)
            return book.begin(arrival)
        }
    }

    /// Notes an API call.
    func arrive(
        method: String, target: String, of providerClass: ProviderClass, credential: String?
    ) -> Call {
        withBook { book, now in
            let place = credential.flatMap { book.places[$0] }
            let key = credential.flatMap { book.keys[$0] }
            let grant = place.flatMap { book.grants[$0.grant] }
            let request = book.nextRequest()
            let line = book.ledger.open(call: { _ in
                CallLine(
                    id: request, time: now, providerClass: providerClass, method: method, target: target,
                    grant: grant?.name, token: place?.token ?? key?.name, outcome: .untouched)
            })
            let arrival = Ledger.Arrival(
                request: request, line: line, providerClass: providerClass, endpoint: .api,
                client: grant?.client ?? "", grant: grant?.id, account: grant?.account ?? key?.account)
            return book.begin(arrival)
        }
    }

    /// The client of a request that may be waiting has gone away.
    func abandon(_ arrival: Ledger.Arrival) {
        withBook { book, _ in
            guard book.waiting.remove(arrival.request) != nil else { return }
            if arrival.endpoint != .api, let grant = arrival.grant { book.grants[grant]?.inFlight -= 1 }
            book.ledger.update(arrival) { $0.isAbandoned = true }
        }
    }

    /// The request's work is over, and its answer, if any, about to be sent.
    func depart(_ call: Call, _ answer: Answer?, status: Int?, delivery: Delivery, fault: String? = nil) {
        withBook { book, _ in
            let arrival = call.arrival
            let outcome = answer?.outcome ?? .untouched
            let stillWaits = call.isPlain || book.waiting.remove(arrival.request) != nil
            if arrival.endpoint != .api, let grant = arrival.grant { book.grants[grant]?.leave(attended: stillWaits) }
            book.ledger.count(arrival, outcome, delivery)
            book.ledger.update(arrival) { line in
                line.outcome = outcome
                line.detail = answer?.detail
                line.issued = answer?.issued
                if let grant = answer?.grant { line.grant = "g\(grant)" }
                line.status = status
                line.delivery = delivery
                line.fault = fault
            }
            book.ledger.update(call: arrival) { line in
                line.outcome = outcome
                line.detail = answer?.detail
                line.status = status
                line.delivery = delivery
                line.fault = fault
            }
        }
    }

    /// The fault that hits this request, already counted; nil for none.
    func strike(_ arrival: Ledger.Arrival) -> SandboxFault? {
        withBook { book, _ in
            for index in book.faults.indices where book.faults[index].strikes(arrival) { return book.faults[index] }
            return nil
        }
    }

    /// The gates there are now.
    var gates: [SandboxGate] { withBook { book, _ in book.gates } }
}

extension ProviderBook {
    fileprivate mutating func begin(_ arrival: Ledger.Arrival) -> Call {
        let isPlain = faults.isEmpty && gates.isEmpty
        if !isPlain { waiting.insert(arrival.request) }
        return Call(arrival: arrival, isPlain: isPlain)
    }
}

extension Grant {
    /// One more request of this grant is being worked on.
    fileprivate mutating func enter() {
        inFlight += 1
        inWork += 1
        maximumInFlight = max(maximumInFlight, inFlight)
        maximumInWork = max(maximumInWork, inWork)
    }

    /// One less. `attended`: its client had waited for it to the end.
    fileprivate mutating func leave(attended: Bool) {
        if attended { inFlight -= 1 }
        inWork -= 1
    }
}
