import HTTPTypes

/// Calls that make things go wrong, and stop requests where a test wants them.
extension ControlEndpoint {
    private struct FaultReport: Encodable {
        let id: String
        let kind: String
        let hits: Int
        /// Requests still to be hit; absent for all.
        let remaining: Int?

        init(_ fault: SandboxFault) {
            id = fault.name
            kind = fault.kind.rawValue
            hits = fault.hits
            remaining = fault.remaining
        }
    }

    func faults(_ call: Call) async throws(ControlRefusal) -> Done {
        switch (call.method, call.path.count) {
        case (.get, 1): return Done(body: ["faults": state.faults.map(FaultReport.init)])
        case (.post, 1):
            var body = try await call.body()
            let fault = try fault(&body)
            try body.finish()
            return Done(status: 201, body: FaultReport(fault.numbered(state.add(fault))))
        case (.delete, 1): return Done(body: ["removed": state.removeFaults()])
        case (.delete, 2):
            guard let id = SandboxState.number(call.path[1], "f"), state.removeFaults(id) > 0 else {
                throw .missing("fault \(call.path[1])")
            }
            return Done(body: ["removed": 1])
        default: throw Self.misdirected(call)
        }
    }

    private func fault(_ body: inout ControlBody) throws(ControlRefusal) -> SandboxFault {
        guard let kind = try body.choice("kind", SandboxFault.Kind.self) else {
            throw .malformed(
                "`kind` is missing; use one of " + SandboxFault.Kind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        var fault = SandboxFault(kind, try selector(&body))
        fault.remaining = try body.count("count", in: 1...1_000_000_000)
        fault.probability = try body.number("probability", in: 0...1) ?? 1
        fault.status = try body.count("status", in: 200...599)
        fault.retryAfter = try body.text("retry_after")
        fault.milliseconds = try body.count("ms", in: 0...86_400_000)
        fault.error = try body.text("error")
        fault.body = try body.text("body")
        if kind == .hang {
            fault.hang = try body.choice("processed", SandboxFault.Hang.self) ?? .never
        } else if let worked = try body.flag("processed") {
            fault.worked = worked
        }
        if let headers = body.value("headers") {
            guard case .object(let members) = headers else { throw .malformed("`headers` must be an object of texts") }
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                guard case .text(let text) = value else { throw .malformed("`headers` must be an object of texts") }
                fault.headers.append((name, text))
            }
        }
        return fault
    }

    private func selector(_ body: inout ControlBody) throws(ControlRefusal) -> SandboxSelector {
        SandboxSelector(
            try body.choice("class", ProviderClass.self),
            try body.choice("endpoint", SandboxEndpoint.self), account: try body.text("account"),
            client: try body.text("client"), tenant: try body.text("tenant"))
    }

    private struct GateReport: Encodable {
        struct Held: Encodable {
            let request: Int
            let grant: String?
            let account: String?
        }

        let id: String
        /// Requests that stand at the gate now, oldest first.
        let held: [Held]
        /// Requests stopped since it was made.
        let stopped: Int

        init(_ gate: SandboxGate) {
            id = gate.name
            held = gate.held.map {
                Held(request: $0.arrival.request, grant: $0.arrival.grant.map { "g\($0)" }, account: $0.arrival.account)
            }
            stopped = gate.stopped
        }
    }

    func gates(_ call: Call) async throws(ControlRefusal) -> Done {
        if call.path.count == 1 {
            switch call.method {
            case .get: return Done(body: ["gates": state.gates.map(GateReport.init)])
            case .post:
                var body = try await call.body()
                let selector = try selector(&body)
                let point = try body.choice("point", SandboxGate.Point.self)
                let limit = try body.count("count", in: 1...1_000_000)
                try body.finish()
                guard let point else { throw .malformed("`point` is missing; use before or after") }
                return Done(status: 201, body: GateReport(state.addGate(selector, point, count: limit)))
            default: throw Self.misdirected(call)
            }
        }
        guard let id = SandboxState.number(call.path[1], "t"), let gate = state.gate(id) else {
            throw .missing("gate \(call.path[1])")
        }
        switch (call.method, call.path.count, call.path.last) {
        case (.get, 2, _):
            return Done(body: GateReport(gate))
        case (.get, 3, "wait"):
            let count = call.fields["count"].flatMap { Int($0) } ?? 1
            let limit = call.fields["timeout_ms"].flatMap { Int($0) } ?? 30_000
            let came = await gate.wait(for: max(1, count), atMost: .milliseconds(max(0, min(limit, 600_000))))
            return Done(status: came ? 200 : 408, body: GateReport(gate))
        case (.post, 3, "release"):
            var body = try await call.body()
            let count = try body.count("count", in: 1...1_000_000)
            try body.finish()
            if let count { gate.release(count) } else { _ = state.remove(gate: id) }
            return Done(body: GateReport(gate))
        case (.delete, 2, _):
            _ = state.remove(gate: id)
            return Done(body: GateReport(gate))
        default: throw Self.misdirected(call)
        }
    }
}
