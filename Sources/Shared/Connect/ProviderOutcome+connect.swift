import Egress
import Logging
import OAuth

extension ProviderOutcome {
    /// The success, or the error that the user reads. What the provider said goes to the log, redacted.
    func connected(by logger: Logger, step: String) throws(ConnectError) -> Success {
        switch self {
        case .success(let success): return success
        case .refused(let refusal):
            logger.notice(
                "provider refused",
                metadata: [
                    "step": "\(step)", "verdict": "\(refusal.verdict.name)", "answer": "\(refusal.sample)",
                ])
            throw refusal.connectError
        case .notSent(let failure):
            logger.notice("provider not reached", metadata: ["step": "\(step)", "failure": "\(failure)"])
            throw failure.connectError
        case .ambiguous(let ambiguity):
            logger.notice(
                "provider's answer unknown",
                metadata: [
                    "step": "\(step)", "failure": "\(ambiguity.failure.map(\.description) ?? "none")",
                    "answer": "\(ambiguity.sample.map(\.description) ?? "none")",
                ])
            throw ambiguity.failure?.connectError ?? ConnectError(.providerUnavailable)
        }
    }
}

extension ProviderRefusal {
    var connectError: ConnectError {
        switch verdict {
        case .appFault:
            let code = sample.code ?? ""
            return ConnectError(code.contains("redirect") ? .wrongRedirect : .wrongClient, hint: hint)
        case .needsUser: return ConnectError(.needsUser, hint: hint)
        case .providerTrouble: return ConnectError(.providerUnavailable, hint: hint)
        case .dead, .certainlyRevoked, .unknown: return ConnectError(.providerRefused, hint: hint)
        }
    }

    private var hint: String { "the provider answered \(sample)" }
}

extension EgressFailure {
    var connectError: ConnectError {
        switch code {
        case .timedOut, .sendDeadline: ConnectError(.timeout)
        case .badURL, .badRequest: ConnectError(.setupRequired, hint: message)
        case .addressRefused: ConnectError(.providerUnavailable, hint: message)
        case .closed, .cancelled, .local: ConnectError(.ours, hint: message)
        default: ConnectError(.providerUnavailable, hint: message)
        }
    }
}

extension AuthorizationRefusal {
    var connectError: ConnectError {
        let hint = "the provider answered \(code)"
        switch kind {
        case .denied: return ConnectError(.denied)
        case .setup: return ConnectError(code.contains("redirect") ? .wrongRedirect : .wrongClient, hint: hint)
        case .needsUser: return ConnectError(.needsUser, hint: hint)
        case .temporary: return ConnectError(.providerUnavailable, hint: hint)
        case .unknown: return ConnectError(.providerRefused, hint: hint)
        }
    }
}

extension CallbackFault {
    var connectError: ConnectError {
        switch self {
        case .issuerMismatch, .issuerMissing: ConnectError(.wrongIssuer)
        case .empty: ConnectError(.providerRefused, hint: "the callback held neither a code nor an error")
        }
    }
}
