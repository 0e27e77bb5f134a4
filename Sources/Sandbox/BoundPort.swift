import HTTPTypes
import Hummingbird
import Synchronization

/// The port of a server that may not listen yet.
final class BoundPort: Sendable {
    private enum State {
        case waiting([CheckedContinuation<Int, any Error>])
        case known(Result<Int, SandboxError>)
    }

    private let state = Mutex(State.waiting([]))

    var value: Int {
        get async throws {
            try await withCheckedThrowingContinuation { continuation in
                let known: Result<Int, SandboxError>? = state.withLock { state in
                    switch state {
                    case .waiting(let waiters):
                        state = .waiting(waiters + [continuation])
                        return nil
                    case .known(let result): return result
                    }
                }
                if let known { continuation.resume(with: known.mapError { $0 }) }
            }
        }
    }

    func succeed(_ port: Int) { settle(.success(port)) }

    /// Whoever waits, or asks from now on, gets the error.
    func fail(_ error: SandboxError) { settle(.failure(error)) }

    private func settle(_ result: Result<Int, SandboxError>) {
        let waiters = state.withLock { state -> [CheckedContinuation<Int, any Error>] in
            defer { state = .known(result) }
            if case .waiting(let waiters) = state { return waiters }
            return []
        }
        for waiter in waiters { waiter.resume(with: result.mapError { $0 }) }
    }
}

/// A responder that is complete only when the port is known, because answers name the issuer. The server takes no
/// connection before that.
final class LateResponder: HTTPResponder {
    private let responder = Mutex<SandboxResponder?>(nil)

    func set(_ responder: SandboxResponder) { self.responder.withLock { $0 = responder } }

    func respond(to request: Request, context: SandboxContext) async throws -> Response {
        guard let responder = responder.withLock({ $0 }) else { return Response(status: .serviceUnavailable) }
        return try await responder.respond(to: request, context: context)
    }
}
