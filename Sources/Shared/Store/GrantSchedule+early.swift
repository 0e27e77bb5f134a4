import Foundation
import Pacing

extension GrantSchedule {
    /// Moves the refresh behind the moment before which the provider refuses one: into the first half of what is left of
    /// the access token's life, at the same point of it as before.
    /// - Parameter notBefore: after the access token's issue; nil: any time.
    package mutating func wait(_ notBefore: Duration?) {
        guard let notBefore, let due = refreshDueAt else { return }
        let earliest = accessIssuedAt.addingTimeInterval(notBefore.seconds)
        guard due < earliest else { return }
        let life = max(1, (accessExpiresAt ?? earliest).timeIntervalSince(accessIssuedAt))
        let part = min(1, max(0, due.timeIntervalSince(accessIssuedAt) / life))
        let left = max(0, (accessExpiresAt ?? earliest).timeIntervalSince(earliest))
        refreshDueAt = earliest.addingTimeInterval(left * part / 2)
    }
}
