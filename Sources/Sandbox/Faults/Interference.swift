import HTTPTypes
import Hummingbird
import NIOCore

/// Plays gates and faults around one piece of the provider's work.
struct Interference: Sendable {
    let state: SandboxState

    /// Does the work of `call` where no fault forbids it, and answers, or does not.
    /// - Parameter work: What the provider does; run at most once, but for a duplicate.
    func run(_ call: Call, on channel: any Channel, _ work: () -> Answer) async -> Response {
        if call.isPlain {
            let answer = work()
            state.depart(call, answer, status: answer.status, delivery: .answered)
            return answer.response
        }
        let arrival = call.arrival
        ClientWatch.watch(channel) { [state] in state.abandon(arrival) }
        for gate in state.gates { await gate.pass(arrival, at: .before) }
        let fault = state.strike(arrival)

        if let fault, fault.kind == .slow || fault.kind == .hang && fault.hang != .before { await hold(fault) }
        let answer = fault?.worked ?? true ? work() : nil
        if answer != nil, fault?.kind == .duplicate { _ = work() }
        if answer != nil { for gate in state.gates { await gate.pass(arrival, at: .after) } }
        if let fault, fault.kind == .hang, fault.hang == .before { await hold(fault) }

        let replacement: Answer?
        switch fault?.kind {
        case nil, .slow, .duplicate:
            replacement = nil
        case .hang where answer != nil:
            replacement = nil
        case .hang, .closed, .lostAnswer:
            state.depart(call, answer, status: nil, delivery: .lost, fault: fault?.kind.rawValue)
            return await ConnectionCut.close(channel)
        case .cutBody:
            let whole = answer ?? Answer(200, JSONText.error("cut"), outcome: .untouched)
            state.depart(call, answer, status: whole.status, delivery: .lost, fault: fault?.kind.rawValue)
            return ConnectionCut.half(of: whole, channel)
        case .errorBefore, .errorAfter, .tooMany, .okFalse, .invalidGrant, .invalidClient, .html, .custom:
            replacement = fault.map(Self.answer)
        }
        guard let sent = replacement ?? answer else { return await ConnectionCut.close(channel) }
        state.depart(
            call, answer, status: sent.status, delivery: replacement == nil ? .answered : .replaced,
            fault: fault?.kind.rawValue)
        return sent.response
    }

    private func hold(_ fault: SandboxFault) async {
        let limit = fault.milliseconds ?? (fault.kind == .slow ? 1000 : nil)
        guard !state.closing.isOpen else { return }
        await fault.latch.wait(atMost: limit.map { .milliseconds($0) })
    }

    /// What a fault says in the provider's place.
    private static func answer(_ fault: SandboxFault) -> Answer {
        var answer: Answer
        switch fault.kind {
        case .tooMany:
            answer = Answer(fault.status ?? 429, JSONText.error(fault.error ?? "rate_limited"), outcome: .untouched)
        case .okFalse:
            let error = JSONText.quoted(fault.error ?? "invalid_refresh_token")
            answer = Answer(fault.status ?? 200, "{\"ok\":false,\"error\":\(error)}", outcome: .untouched)
        case .invalidGrant:
            answer = Answer(
                fault.status ?? 400,
                JSONText.error("invalid_grant", fault.error ?? "Token has been expired or revoked."),
                outcome: .untouched)
        case .invalidClient:
            answer = Answer(
                fault.status ?? 401, JSONText.error("invalid_client", fault.error ?? "The client is not known."),
                outcome: .untouched)
        case .html:
            answer = Answer(
                fault.status ?? 200,
                fault.body ?? "<!doctype html><title>Maintenance</title><h1>We'll be back soon</h1>",
                type: "text/html; charset=utf-8", outcome: .untouched)
        case .custom:
            answer = Answer(fault.status ?? 200, fault.body ?? "", outcome: .untouched)
        case .errorBefore, .errorAfter, .hang, .slow, .lostAnswer, .closed, .cutBody, .duplicate:
            answer = Answer(
                fault.status ?? 503, fault.body ?? JSONText.error(fault.error ?? "server_error"), outcome: .untouched)
        }
        for (name, value) in fault.headers {
            if let name = HTTPField.Name(name) { answer.headers[name] = value }
        }
        if let retryAfter = fault.retryAfter { answer.headers[.retryAfter] = retryAfter }
        return answer
    }
}
