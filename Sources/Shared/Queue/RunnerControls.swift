/// What a runner knows of pauses and limits. It reads their version with every search for lanes, and what changed when
/// that has moved, so a change takes effect within one poll.
struct RunnerControls: Sendable {
    /// Of pauses and limits as known here; -1 before the first reading.
    private(set) var version: Int64 = -1
    private var pausedKinds: Set<String> = []
    private var pausedKeys: Set<String> = []
    /// Keys that have, or had, a limit: their jobs ask before they start.
    private var limitedKeys: Set<String> = []
    /// Jobs are parked until a limit has room.
    var isWaiting = false

    /// What keeps a job from starting, as far as is known here.
    enum Start: Sendable, Hashable {
        case free
        /// Ask the limits first.
        case ask
        case paused(reason: String, key: String)
    }

    func start(kind: String, limitKeys: [String]) -> Start {
        if pausedKinds.contains(kind) { return .paused(reason: "kind", key: kind) }
        if limitKeys.isEmpty { return .free }
        if let key = limitKeys.first(where: pausedKeys.contains) { return .paused(reason: "limit", key: key) }
        return limitKeys.contains(where: limitedKeys.contains) ? .ask : .free
    }

    mutating func update(version: Int64, pauses: [JobPause], limited: [String]) {
        self.version = version
        pausedKinds = []
        pausedKeys = []
        for pause in pauses {
            switch pause {
            case .kind(let name): pausedKinds.insert(name)
            case .limitKey(let name): pausedKeys.insert(name)
            }
        }
        limitedKeys.formUnion(limited)
    }
}
