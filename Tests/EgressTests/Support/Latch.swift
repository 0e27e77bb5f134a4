import Dispatch
import Synchronization

/// A gate that opens once: tests await it, server threads block on it.
final class Latch: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())
    private let semaphore = DispatchSemaphore(value: 0)

    var isOpen: Bool { state.withLock { $0.isOpen } }

    func open() {
        let waiters = state.withLock { state in
            defer { state = State(isOpen: true) }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
        semaphore.signal()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    /// For server threads; gives up after 20 s, so that a failed test ends.
    func block() {
        if semaphore.wait(timeout: .now() + .seconds(20)) == .success { semaphore.signal() }
    }
}
