import Synchronization

/// Counts the streams that are open, up to a limit.
final class StreamCount: Sendable {
    private let limit: Int
    private let open = Mutex(0)

    init(limit: Int) { self.limit = limit }

    /// - Returns: false when there are too many; then nothing is counted.
    func enter() -> Bool {
        open.withLock {
            guard $0 < limit else { return false }
            $0 += 1
            return true
        }
    }

    func leave() { open.withLock { $0 -= 1 } }
}
