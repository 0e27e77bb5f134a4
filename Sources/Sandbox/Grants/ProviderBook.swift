import Vault

/// All that the provider knows: one value behind one lock.
struct ProviderBook: Sendable {
    /// Where a token value belongs.
    enum Place: Sendable {
        case refresh(grant: Int, token: Int)
        case access(grant: Int, token: Int)

        var grant: Int {
            switch self {
            case .refresh(let grant, _), .access(let grant, _): grant
            }
        }

        var token: String {
            switch self {
            case .refresh(_, let token): "r\(token)"
            case .access(_, let token): "a\(token)"
            }
        }
    }

    var settings: SandboxSettings
    var clients: [String: OAuthClient] = [OAuthClient.standard.id: .standard]
    var grants: [Int: Grant] = [:]
    var places: [String: Place] = [:]
    var codes: [String: AuthorizationCode] = [:]
    var keys: [String: APIKey] = [:]
    var mint = TokenMint()
    /// Seconds by which the provider's clock is ahead of the machine's.
    var clockOffset = 0.0
    /// Counts changes of what a state file holds.
    var revision = 0
    var ledger: Ledger
    var faults: [SandboxFault] = []
    var gates: [SandboxGate] = []
    /// Requests that may be waiting for something and whose client still waits for them.
    var waiting: Set<Int> = []
    /// The scenario that is being played.
    var playing: String?
    private var requests = 0

    init(settings: SandboxSettings) {
        self.settings = settings
        ledger = Ledger(settings)
    }

    /// The number of the next request.
    mutating func nextRequest() -> Int {
        requests += 1
        return requests
    }

    /// Keeps `pair` findable, and now and then drops what the grant no longer needs to remember.
    mutating func register(_ pair: TokenPair, of grant: Int, now: Double) {
        places[pair.refresh.value] = .refresh(grant: grant, token: pair.refresh.id)
        places[pair.access.value] = .access(grant: grant, token: pair.access.id)
        // Every sixteenth time: it looks at every token of the grant.
        if grants[grant]?.generation.isMultiple(of: 16) == true {
            for value in grants[grant]?.forget(keeping: settings.deadTokensKept, now: now) ?? [] { places[value] = nil }
        }
        revision += 1
    }

    /// Ends a grant.
    mutating func kill(_ grant: Int, _ reason: String, now: Double) {
        grants[grant]?.kill(reason, now: now)
        revision += 1
    }

    /// Checks a client's name and secret, and that the class has not turned it off.
    func authenticate(_ credentials: ClientCredentials, in providerClass: ProviderClass) throws(OAuthRefusal) {
        guard let client = clients[credentials.id] else {
            throw .client("the client \(credentials.id.debugDescription) is unknown", credentials)
        }
        if client.secret != nil {
            guard let given = credentials.secret else { throw .client("the client sent no secret", credentials) }
            switch client.check(given) {
            case .good: break
            case .wrong: throw .client("the client secret is wrong", credentials)
            case .expired: throw .client("the client secret has expired", credentials)
            }
        } else if credentials.secret?.isEmpty == false {
            throw .client("this public client has no secret, but one was sent", credentials)
        }
        if let death = client.deaths[providerClass] {
            throw .client("the client was turned off: \(death.reason)", credentials)
        }
    }
}
