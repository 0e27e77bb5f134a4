/// What tests change. The control API is these functions over HTTP.
extension SandboxState {
    package var settings: SandboxSettings { withBook { book, _ in book.settings } }

    /// Changes settings; what is issued already keeps its end.
    package func change(_ body: @Sendable (inout SandboxSettings) -> Void) {
        withBook { book, _ in
            let capacity = book.settings.ledgerCapacity
            body(&book.settings)
            if book.settings.ledgerCapacity != capacity { book.ledger = Ledger(book.settings) }
            book.ledger.depth = book.settings.ledger
            book.revision += 1
        }
    }

    /// The account's user ends a grant at the provider. False when there is no such grant.
    @discardableResult
    package func revoke(grant name: String) -> Bool {
        withBook { book, now in
            guard let id = Self.number(name, "g"), book.grants[id] != nil else { return false }
            book.kill(id, "its user revoked it", now: now)
            return true
        }
    }

    /// The user of an account ends everything that was granted, in one class or all.
    /// - Returns: The grants that were alive.
    @discardableResult
    package func revoke(account: String, in providerClass: ProviderClass? = nil) -> [String] {
        withBook { book, now in
            let ids = book.grants.values.filter {
                $0.account == account && $0.death == nil && (providerClass == nil || providerClass == $0.providerClass)
            }.map(\.id).sorted()
            for id in ids { book.kill(id, "its user revoked it", now: now) }
            return ids.map { "g\($0)" }
        }
    }

    /// Moves the provider's clock ahead, or back.
    /// - Returns: Its time, in seconds since 1970.
    @discardableResult
    package func advanceClock(by seconds: Double) -> Double {
        withBook { book, now in
            book.clockOffset += seconds
            book.revision += 1
            return now + seconds
        }
    }

    /// Lets time pass for the grants of one account alone: everything that was, was so much earlier.
    /// - Returns: The grants that there are.
    @discardableResult
    package func age(account: String, by seconds: Double, in providerClass: ProviderClass? = nil) -> [String] {
        withBook { book, _ in
            let ids = book.grants.values.filter {
                $0.account == account && (providerClass == nil || providerClass == $0.providerClass)
            }.map(\.id).sorted()
            for id in ids { book.grants[id]?.becomeOlder(by: seconds) }
            book.revision += 1
            return ids.map { "g\($0)" }
        }
    }

    /// Makes an API key of class `key`.
    package func makeKey(account: String) -> String {
        withBook { book, now in
            let key = APIKey(
                id: book.mint.number(), value: TokenMint.value("sk_sandbox_"), account: account, createdAt: now)
            book.keys[key.value] = key
            book.revision += 1
            return key.value
        }
    }

    /// Ends an API key. False when there is no such key.
    @discardableResult
    package func revokeKey(_ value: String) -> Bool {
        withBook { book, now in
            guard let key = book.keys[value] else { return false }
            if key.death == nil { book.keys[value]?.death = Death(at: now, reason: "its user revoked it") }
            book.revision += 1
            return true
        }
    }

    /// Registers a client, or replaces it: a class that had turned it off takes it back.
    /// - Parameter secret: Nil for a public client.
    package func register(client id: String, secret: String?, redirectURIs: [String]) {
        withBook { book, _ in
            book.clients[id] = OAuthClient(id: id, secret: secret, redirectURIs: redirectURIs)
            book.revision += 1
        }
    }

    /// Gives a client one more secret beside those it has. False when there is no such client.
    @discardableResult
    package func add(secret: String, toClient id: String) -> Bool {
        withBook { book, _ in
            book.revision += 1
            guard var client = book.clients[id] else { return false }
            client.otherSecrets = (client.otherSecrets ?? []) + [secret]
            client.expiredSecrets?.removeAll { $0 == secret }
            book.clients[id] = client
            return true
        }
    }

    /// Ends one secret of a client: from then on it gets `invalid_client`. False when there is no such client.
    @discardableResult
    package func expire(secret: String, ofClient id: String) -> Bool {
        withBook { book, _ in
            book.revision += 1
            guard var client = book.clients[id] else { return false }
            client.expiredSecrets = (client.expiredSecrets ?? []) + [secret]
            book.clients[id] = client
            return true
        }
    }

    /// Forgets a client; from then on it gets `invalid_client`.
    @discardableResult
    package func remove(client id: String) -> Bool {
        withBook { book, _ in
            book.revision += 1
            return book.clients.removeValue(forKey: id) != nil
        }
    }

    // MARK: Faults and gates

    var faults: [SandboxFault] { withBook { book, _ in book.faults } }

    /// Adds a fault. Of several that match a request, the oldest is played.
    /// - Returns: Its number, for ``removeFaults(_:)``.
    @discardableResult
    package func add(_ fault: SandboxFault) -> Int {
        withBook { book, _ in
            let id = book.mint.number()
            book.faults.append(fault.numbered(id))
            return id
        }
    }

    /// Takes faults away and lets what hangs in them go on; nil takes all.
    /// - Returns: How many there were.
    @discardableResult
    package func removeFaults(_ id: Int? = nil) -> Int {
        let gone = withBook { book, _ in
            let gone = book.faults.filter { id == nil || $0.id == id }
            book.faults.removeAll { id == nil || $0.id == id }
            return gone
        }
        for fault in gone { fault.latch.open() }
        return gone.count
    }

    /// Sets up a gate.
    /// - Parameter count: Requests to stop in all; nil for all. Open it with ``SandboxGate/release(_:)``.
    package func addGate(
        _ selector: SandboxSelector, _ point: SandboxGate.Point, count: Int? = nil
    ) -> SandboxGate {
        withBook { book, _ in
            let gate = SandboxGate(id: book.mint.number(), selector: selector, point: point, limit: count)
            book.gates.append(gate)
            return gate
        }
    }

    func gate(_ id: Int) -> SandboxGate? { withBook { book, _ in book.gates.first { $0.id == id } } }

    /// Opens a gate for good and forgets it.
    func remove(gate id: Int) -> Bool {
        let gate = withBook { book, _ in
            let gate = book.gates.first { $0.id == id }
            book.gates.removeAll { $0.id == id }
            return gate
        }
        gate?.release()
        return gate != nil
    }
}
