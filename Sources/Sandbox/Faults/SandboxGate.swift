import Synchronization

/// A place where requests stop, before or after the work, until they are released: how a test finds the moment between
/// a provider's answer and its commit.
package final class SandboxGate: Sendable {
    package enum Point: String, Sendable, CaseIterable {
        case before, after
    }

    /// A request that stands at the gate.
    struct Held: Sendable {
        let arrival: Ledger.Arrival
        let latch: Latch
    }

    private struct State {
        var held: [Held] = []
        var stopped = 0
        var isOpen = false
        var watchers: [(enough: Int, latch: Latch)] = []
    }

    let id: Int
    let selector: SandboxSelector
    let point: Point
    /// Requests to stop in all; later ones pass. Nil: all.
    let limit: Int?
    private let state = Mutex(State())

    init(id: Int, selector: SandboxSelector, point: Point, limit: Int?) {
        self.id = id
        self.selector = selector
        self.point = point
        self.limit = limit
    }

    var name: String { "t\(id)" }
    var held: [Held] { state.withLock { $0.held } }
    /// Requests that stand at it now.
    package var waiting: Int { state.withLock { $0.held.count } }
    /// The accounts of the requests that stand at it now, oldest first.
    package var accounts: [String] { state.withLock { $0.held.compactMap(\.arrival.account) } }
    /// Requests stopped since the gate was made.
    package var stopped: Int { state.withLock { $0.stopped } }

    /// Stops the request where the gate is for it. Returns when it was released.
    func pass(_ arrival: Ledger.Arrival, at point: Point) async {
        guard point == self.point, selector.matches(arrival) else { return }
        let latch = Latch()
        let (isStopped, watchers): (Bool, [Latch]) = state.withLock { state in
            guard !state.isOpen, limit.map({ state.stopped < $0 }) ?? true else { return (false, []) }
            state.stopped += 1
            state.held.append(Held(arrival: arrival, latch: latch))
            let satisfied = state.watchers.filter { $0.enough <= state.held.count }.map(\.latch)
            state.watchers.removeAll { $0.enough <= state.held.count }
            return (true, satisfied)
        }
        for watcher in watchers { watcher.open() }
        guard isStopped else { return }
        await latch.wait()
        // A cancelled request leaves by itself.
        state.withLock { $0.held.removeAll { $0.latch === latch } }
    }

    /// Waits until at least `count` requests stand at the gate at once.
    /// - Returns: Whether they do.
    package func wait(for count: Int = 1, atMost limit: Duration = .seconds(30)) async -> Bool {
        let latch = Latch()
        let isThere = state.withLock { state in
            if state.held.count >= count { return true }
            state.watchers.append((count, latch))
            return false
        }
        if isThere { return true }
        await latch.wait(atMost: limit)
        return state.withLock { state in
            state.watchers.removeAll { $0.latch === latch }
            return state.held.count >= count
        }
    }

    /// Lets the `count` that have waited longest go on, and stays closed; nil lets all go on and opens for good, and ends
    /// the waits of those who watch.
    package func release(_ count: Int? = nil) {
        let (freed, watchers) = state.withLock { state in
            var watchers: [Latch] = []
            if count == nil {
                state.isOpen = true
                watchers = state.watchers.map(\.latch)
                state.watchers = []
            }
            let freed = Array(state.held.prefix(count ?? .max))
            state.held.removeFirst(freed.count)
            return (freed, watchers)
        }
        for held in freed { held.latch.open() }
        for watcher in watchers { watcher.open() }
    }
}
