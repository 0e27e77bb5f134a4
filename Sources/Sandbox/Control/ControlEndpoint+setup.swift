import HTTPTypes

/// Calls that set the stage: settings, clients, keys.
extension ControlEndpoint {
    func settings(_ call: Call) async throws(ControlRefusal) -> Done {
        guard call.path.count == 1 else { throw Self.misdirected(call) }
        switch call.method {
        case .get: return Done(body: try SettingsOverlay.describe(state.settings))
        case .put:
            var body = try await call.body()
            let changed = try SettingsOverlay.apply(&body, to: state.settings)
            try body.finish()
            state.change { $0 = changed }
            return Done(body: try SettingsOverlay.describe(changed))
        default: throw Self.misdirected(call)
        }
    }

    private struct ClientReport: Encodable {
        let clientID: String
        let clientSecret: String?
        let redirectURIs: [String]
        /// Classes that have turned it off, with the reason.
        let dead: [String: String]

        enum CodingKeys: String, CodingKey {
            case dead
            case clientID = "client_id"
            case clientSecret = "client_secret"
            case redirectURIs = "redirect_uris"
        }

        init(_ client: OAuthClient) {
            clientID = client.id
            clientSecret = client.secret
            redirectURIs = client.redirectURIs
            dead = Dictionary(uniqueKeysWithValues: client.deaths.map { ($0.key.rawValue, $0.value.reason) })
        }
    }

    func clients(_ call: Call) async throws(ControlRefusal) -> Done {
        switch (call.method, call.path.count) {
        case (.get, 1): break
        case (.post, 1):
            var body = try await call.body()
            let id = try body.text("client_id") ?? TokenMint.value("client_")
            let isPublic = try body.flag("public") ?? false
            let secret = try body.text("client_secret")
            let uris = try body.texts("redirect_uris") ?? []
            try body.finish()
            guard !id.isEmpty else { throw .malformed("`client_id` is empty") }
            guard !isPublic || secret == nil else { throw .malformed("a public client has no `client_secret`") }
            state.register(
                client: id, secret: isPublic ? nil : secret ?? TokenMint.value("secret_"), redirectURIs: uris)
            return Done(status: 201, body: client(id))
        case (.post, 4) where call.path[2] == "secrets" && ["add", "expire"].contains(call.path[3]):
            var body = try await call.body()
            let secret = try body.text("client_secret")
            try body.finish()
            guard let secret else { throw .malformed("`client_secret` is missing") }
            let isKnown =
                call.path[3] == "add"
                ? state.add(secret: secret, toClient: call.path[1])
                : state.expire(secret: secret, ofClient: call.path[1])
            guard isKnown else { throw .missing("client \(call.path[1])") }
            return Done(body: client(call.path[1]))
        case (.delete, 2):
            guard state.remove(client: call.path[1]) else { throw .missing("client \(call.path[1])") }
        default: throw Self.misdirected(call)
        }
        return Done(
            body: [
                "clients": state.withBook { book, _ in book.clients.values.sorted { $0.id < $1.id } }
                    .map(ClientReport.init)
            ])
    }

    private func client(_ id: String) -> ClientReport? {
        state.withBook { book, _ in book.clients[id] }.map(ClientReport.init)
    }

    private struct KeyReport: Encodable {
        let id: String
        let key: String
        let account: String
        let alive: Bool
        let calls: Int

        init(_ key: APIKey) {
            id = key.name
            self.key = key.value
            account = key.account
            alive = key.death == nil
            calls = key.calls
        }
    }

    func keys(_ call: Call) async throws(ControlRefusal) -> Done {
        let made: String
        switch (call.method, call.path.count) {
        case (.get, 1):
            let keys = state.withBook { book, _ in book.keys.values.sorted { $0.id < $1.id } }
            return Done(body: ["keys": keys.map(KeyReport.init)])
        case (.post, 1):
            var body = try await call.body()
            let account = try body.text("account") ?? state.settings[.key].account
            try body.finish()
            made = state.makeKey(account: account)
        case (.delete, 2):
            guard state.revokeKey(call.path[1]) else { throw .missing("key \(call.path[1])") }
            made = call.path[1]
        default: throw Self.misdirected(call)
        }
        let key = state.withBook { book, _ in book.keys[made] }
        return Done(status: call.method == .post ? 201 : 200, body: key.map(KeyReport.init))
    }
}
