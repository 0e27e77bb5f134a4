import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The processes of a run. Each has a slot; one that was killed is followed by another with a new name.
actor Fleet {
    struct Slot: Sendable {
        let role: ProcessOrders.Role
        let number: Int
        let url: String
        let place: Int?
        var generation = 0
        var child: Child?
    }

    private var slots: [Slot] = []
    private let ground: Ground
    private let options: ConductOptions
    private let history: HistoryFile
    private var watches: [Task<Void, Never>] = []

    init(_ ground: Ground, _ options: ConductOptions, _ history: HistoryFile) {
        self.ground = ground
        self.options = options
        self.history = history
    }

    func start() async throws {
        // A fault shows without the processes that make up for others.
        let others = options.fault == nil ? 2 : 1
        let roles: [(ProcessOrders.Role, Int)] = [
            (.observer, others), (.worker, options.workers), (.enqueuer, others),
        ]
        for (role, count) in roles {
            for number in 1...count {
                let (url, place) = try await ground.way()
                slots.append(Slot(role: role, number: number, url: url, place: place))
                try await start(slots.count - 1)
            }
        }
    }

    /// Slots with a living process of one of `roles`.
    func living(_ roles: [ProcessOrders.Role]) -> [(slot: Int, name: String, place: Int?)] {
        slots.indices.compactMap { index in
            let slot = slots[index]
            guard roles.contains(slot.role), let child = slot.child, child.status == nil else { return nil }
            return (index, child.name, slot.place)
        }
    }

    func send(_ signal: Int32, _ event: ProcessEvent, slot: Int) {
        guard let child = slots[slot].child else { return }
        // Before the signal, so that whatever follows from it is later.
        history.record(.process(name: child.name, event: event, status: nil))
        child.send(signal)
    }

    /// The exit status of the slot's process; nil when it has not ended within `limit`.
    func end(slot: Int, within limit: Duration) async -> Int32? {
        guard let child = slots[slot].child else { return 0 }
        let deadline = ContinuousClock.now + limit
        while child.status == nil, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
        return child.status
    }

    /// A process in a slot whose last one has ended or was killed.
    func start(_ index: Int) async throws {
        slots[index].generation += 1
        let slot = slots[index]
        let name = "\(slot.role.rawValue)-\(slot.number).\(slot.generation)"
        let child = try await Child(
            ProcessOrders(
                role: slot.role, name: name, url: slot.url, directory: ground.directory,
                seed: options.seed &+ UInt64(index * 1000 + slot.generation * 17), fault: options.fault,
                pace: options.pace,
                // One of the workers does without.
                preparesStatements: slot.role != .worker || slot.number != 2))
        slots[index].child = child
        history.record(.process(name: name, event: .began, status: nil))
        watches.append(
            Task { [history] in
                let status = await child.end()
                history.record(.process(name: name, event: .ended, status: status))
            })
    }

    /// Asks every process of `role` to end, and waits for that; those that do not are killed, which the checker calls a
    /// fault of theirs.
    func finish(_ role: ProcessOrders.Role) async {
        let all = living([role])
        for (slot, _, _) in all { send(SIGTERM, .drains, slot: slot) }
        for (slot, _, _) in all where await end(slot: slot, within: .seconds(15)) == nil {
            slots[slot].child?.send(SIGKILL)
            _ = await end(slot: slot, within: .seconds(5))
        }
    }

    /// Ends whatever still runs and waits until all ends are recorded.
    func destroy() async {
        for slot in slots { slot.child?.send(SIGKILL) }
        for watch in watches { await watch.value }
    }
}
