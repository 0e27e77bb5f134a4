/// Waiting for what sends no signal: another process's end, a file.
enum Polling {
    /// True as soon as `condition` holds; false when it does not within `limit` or the task is cancelled.
    static func until(_ limit: Duration, _ condition: () -> Bool) async -> Bool {
        let end = ContinuousClock.now + limit
        while true {
            if condition() { return true }
            if ContinuousClock.now >= end { return false }
            do { try await Task.sleep(for: .milliseconds(5)) } catch { return condition() }
        }
    }

    /// As `until`, also in a cancelled task: for cleaning up, which must not be cut short.
    static func untilEvenCancelled(_ limit: Duration, _ condition: () -> Bool) async -> Bool {
        let end = ContinuousClock.now + limit
        while !condition() {
            if ContinuousClock.now >= end { return false }
            await pause()
        }
        return true
    }

    /// Five milliseconds that a cancellation does not shorten.
    private static func pause() async {
        await Task { try? await Task.sleep(for: .milliseconds(5)) }.value
    }
}
