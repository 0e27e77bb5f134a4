import HTTPTypes

/// Calls that tell what happened, and the small ones that change it.
extension ControlEndpoint {
    func grants(_ call: Call) throws(ControlRefusal) -> Done {
        switch (call.method, call.path.count) {
        case (.get, 1):
            let list = state.grants(
                of: try call.providerClass(), account: call.fields["account"], client: call.fields["client"])
            return Done(body: ["grants": list])
        case (.get, 2):
            guard let grant = state.grant(call.path[1]) else { throw .missing("grant \(call.path[1])") }
            return Done(body: grant)
        case (.post, 3) where call.path[2] == "revoke":
            guard state.revoke(grant: call.path[1]), let grant = state.grant(call.path[1]) else {
                throw .missing("grant \(call.path[1])")
            }
            return Done(body: grant)
        default: throw Self.misdirected(call)
        }
    }

    func ledger(_ call: Call) throws(ControlRefusal) -> Done {
        guard call.method == .get, call.path.count == 1 else { throw Self.misdirected(call) }
        if call.path[0] == "counts" { return Done(body: state.counts(of: try call.providerClass())) }
        var since = 0
        if let text = call.fields["since"] {
            guard let number = Int(text) else { throw .malformed("since must be a line's number") }
            since = number
        }
        return Done(body: state.ledger(of: try call.providerClass(), grant: call.fields["grant"], since: since))
    }

    func lookup(_ call: Call) async throws(ControlRefusal) -> Done {
        guard call.method == .post, call.path.count == 1 else { throw Self.misdirected(call) }
        var body = try await call.body()
        let one = try body.text("token")
        let many = try body.texts("tokens")
        try body.finish()
        switch (one, many) {
        case (.some(let value), nil): return Done(body: state.lookup(value))
        case (nil, .some(let values)): return Done(body: ["results": values.map(state.lookup)])
        default: throw .malformed("send either `token` or `tokens`")
        }
    }

    func clock(_ call: Call) async throws(ControlRefusal) -> Done {
        switch (call.method, call.path.count) {
        case (.get, 1): return Done(body: ["time": state.advanceClock(by: 0)])
        case (.post, 1):
            var body = try await call.body()
            let seconds = try body.number("advance_seconds", in: -1e9...1e9)
            let account = try body.text("account")
            try body.finish()
            guard let seconds else { throw .malformed("`advance_seconds` is missing") }
            if let account { return Done(body: ["grants": state.age(account: account, by: seconds)]) }
            return Done(body: ["time": state.advanceClock(by: seconds)])
        default: throw Self.misdirected(call)
        }
    }

    func revoke(_ call: Call) throws(ControlRefusal) -> Done {
        guard call.method == .post, call.path.count == 1 else { throw Self.misdirected(call) }
        guard let account = call.fields["account"] else { throw .malformed("name the account: ?account=") }
        return Done(body: ["revoked": state.revoke(account: account, in: try call.providerClass())])
    }

    func reset(_ call: Call) throws(ControlRefusal) -> Done {
        guard call.method == .post, call.path.count == 1 else { throw Self.misdirected(call) }
        state.reset()
        return Done(body: ["reset": true])
    }
}
