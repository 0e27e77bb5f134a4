/// What tests read.
extension SandboxState {
    /// Grants by number, all that match.
    package func grants(
        of providerClass: ProviderClass? = nil, account: String? = nil, client: String? = nil
    ) -> [GrantReport] {
        withBook { book, now in
            book.select(providerClass, now: now).filter {
                (account == nil || account == $0.account) && (client == nil || client == $0.client)
            }.map(GrantReport.init)
        }
    }

    /// One grant, by name or number.
    package func grant(_ name: String) -> GrantReport? {
        withBook { book, now in
            guard let id = Self.number(name, "g") else { return nil }
            book.age(id, now: now)
            return book.grants[id].map(GrantReport.init)
        }
    }

    /// What a token value is, and whether the provider would take it now. Looking is not a use.
    package func lookup(_ value: String) -> LookupReport {
        withBook { book, now in
            if let key = book.keys[value] {
                return LookupReport(
                    kind: .key, id: key.name, account: key.account, alive: key.death == nil, why: key.death?.reason)
            }
            guard let place = book.places[value] else { return LookupReport(kind: .unknown, alive: false) }
            book.age(place.grant, now: now)
            guard let grant = book.grants[place.grant] else { return LookupReport(kind: .unknown, alive: false) }
            let token: TokenReport
            let newest: Bool
            switch place {
            case .refresh(_, let id):
                guard let found = grant.refreshTokens.last(where: { $0.id == id }) else {
                    return LookupReport(kind: .unknown, alive: false)
                }
                token = TokenReport(found, of: grant)
                newest = grant.refreshTokens.last?.id == id
            case .access(_, let id):
                guard let found = grant.accessTokens.last(where: { $0.id == id }) else {
                    return LookupReport(kind: .unknown, alive: false)
                }
                token = TokenReport(found, of: grant, now: now)
                newest = grant.accessTokens.last?.id == id
            }
            return LookupReport(
                kind: token.kind == .refresh ? .refresh : .access, id: token.id, grant: grant.name,
                account: grant.account, generation: token.generation, alive: token.alive, newest: newest,
                grantAlive: grant.death == nil, why: token.why ?? grant.death?.reason)
        }
    }

    /// The lines and tokens of a class, of a grant, or all.
    /// - Parameter since: Only requests and calls with a number from this on; the number is each line's `id`.
    package func ledger(of providerClass: ProviderClass? = nil, grant: String? = nil, since: Int = 0) -> LedgerReport {
        withBook { book, now in
            let name = grant.flatMap { Self.number($0, "g") }.map { "g\($0)" } ?? grant
            let grants = book.select(providerClass, now: now).filter { name == nil || $0.name == name }
            return LedgerReport(
                time: now,
                requests: book.ledger.requests.all.filter {
                    $0.id >= since && (providerClass == nil || providerClass == $0.providerClass)
                        && (name == nil || name == $0.grant)
                },
                calls: book.ledger.calls.all.filter {
                    $0.id >= since && (providerClass == nil || providerClass == $0.providerClass)
                        && (name == nil || name == $0.grant)
                },
                tokens: grants.flatMap { grant in
                    grant.refreshTokens.map { TokenReport($0, of: grant) }
                        + grant.accessTokens.map { TokenReport($0, of: grant, now: now) }
                },
                tallies: book.tallies(providerClass),
                forgotten: book.ledger.requests.forgotten + book.ledger.calls.forgotten)
        }
    }

    /// Sums over a class, or all.
    package func counts(of providerClass: ProviderClass? = nil) -> CountsReport {
        withBook { book, now in
            let grants = book.select(providerClass, now: now)
            return CountsReport(
                grants: grants.count, grantsAlive: grants.count { $0.death == nil },
                refreshes: grants.reduce(0) { $0 + $1.refreshes }, replays: grants.reduce(0) { $0 + $1.replays },
                maximumInFlight: grants.map(\.maximumInFlight).max() ?? 0,
                maximumInWork: grants.map(\.maximumInWork).max() ?? 0, tallies: book.tallies(providerClass))
        }
    }

    /// The number in a name such as `g3`, with or without its letter.
    static func number(_ name: String, _ letter: Character) -> Int? {
        Int(name.first == letter ? name.dropFirst() : name[...])
    }
}

extension ProviderBook {
    /// Lets time end what it ends in one grant.
    mutating func age(_ id: Int, now: Double) {
        guard let providerClass = grants[id]?.providerClass else { return }
        grants[id]?.age(settings: settings[providerClass], now: now)
    }

    fileprivate mutating func select(_ providerClass: ProviderClass?, now: Double) -> [Grant] {
        for id in grants.keys { age(id, now: now) }
        return grants.values.filter { providerClass == nil || providerClass == $0.providerClass }
            .sorted { $0.id < $1.id }
    }

    fileprivate func tallies(_ providerClass: ProviderClass?) -> [LedgerReport.Tally] {
        ledger.tallies.filter { providerClass == nil || providerClass == $0.key.providerClass }.map {
            LedgerReport.Tally(
                providerClass: $0.key.providerClass, endpoint: $0.key.endpoint, outcome: $0.key.outcome,
                delivery: $0.key.delivery, count: $0.value)
        }.sorted {
            ($0.providerClass.rawValue, $0.endpoint.rawValue, $0.outcome.rawValue, $0.delivery.rawValue)
                < ($1.providerClass.rawValue, $1.endpoint.rawValue, $1.outcome.rawValue, $1.delivery.rawValue)
        }
    }
}
