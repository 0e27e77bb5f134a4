import Synchronization

/// A door that opens once. Whoever waits goes on when it opens, when their time is up, or when their task is cancelled.
final class Latch: Sendable {
    private struct State {
        var isOpen = false
        var next = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Lets everybody through, now and later.
    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    var isOpen: Bool { state.withLock { $0.isOpen } }

    /// - Parameter limit: How long to wait at most; nil for ever.
    /// - Returns: Whether it is open.
    @discardableResult
    func wait(atMost limit: Duration? = nil) async -> Bool {
        guard let limit else {
            await opened()
            return isOpen
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.opened() }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        return isOpen
    }

    private func opened() async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goOn = state.withLock { state in
                    if state.isOpen || Task.isCancelled { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        } onCancel: {
            // Either the waiter is registered and taken here, or it sees `isCancelled` under the lock.
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }
}
