import Synchronization

/// Keeps enqueuers at most so many jobs ahead of the handlers, and counts both.
final class Gate: Sendable {
    private struct State {
        var entered = 0
        var isClosed = false
        var enqueuers: [CheckedContinuation<Void, Never>] = []
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let ahead: Int
    private let step: Int
    private let done = Atomic<Int>(0)
    private let state = Mutex(State())

    /// `ahead` jobs at most; `step` is the batch that jobs are enqueued in.
    init(ahead: Int, step: Int) {
        self.ahead = ahead
        self.step = step
    }

    /// Jobs whose handler has ended.
    var finished: Int { done.load(ordering: .relaxed) }
    /// Jobs that were let in.
    var entered: Int { state.withLock { $0.entered } }
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Waits until another batch may be enqueued and counts it; false when closed.
    func enter() async -> Bool {
        while true {
            enum Answer { case goOn, wait, closed }
            let answer = state.withLock { state -> Answer in
                if state.isClosed { return .closed }
                guard state.entered - finished <= ahead - step else { return .wait }
                state.entered += step
                return .goOn
            }
            switch answer {
            case .goOn: return true
            case .closed: return false
            case .wait:
                await withCheckedContinuation { continuation in
                    let mayGo = state.withLock { state in
                        // A job may have ended since.
                        if state.isClosed || state.entered - finished <= ahead - step { return true }
                        state.enqueuers.append(continuation)
                        return false
                    }
                    if mayGo { continuation.resume() }
                }
            }
        }
    }

    /// A handler ended. Batches are whole, so every `step`-th end makes room for one.
    func finish() {
        let count = done.add(1, ordering: .relaxed).newValue
        if count % step == 0 || step == 1 { wake(count) }
    }

    private func wake(_ count: Int) {
        let (enqueuers, watchers) = state.withLock { state in
            let watchers = state.watchers.filter { $0.count <= count }.map(\.continuation)
            state.watchers.removeAll { $0.count <= count }
            defer { state.enqueuers = [] }
            return (state.enqueuers, watchers)
        }
        for waiter in enqueuers + watchers { waiter.resume() }
    }

    /// Lets nobody in any more.
    func close() {
        state.withLock { $0.isClosed = true }
        wake(finished)
    }

    /// Returns once `count` handlers, a multiple of the step, have ended.
    func wait(for count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if finished >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}
