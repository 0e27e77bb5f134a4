import ChaosSupport
import Foundation
import Lifecycle
import LifecycleSupport
import Synchronization

/// The processes that play one history after another. Who was killed leaves a seat, which another takes.
final class Seats: Sendable {
    private struct State {
        var living: [WorldProcess] = []
        var asleep: [WorldProcess] = []
        var empty: [(Int, UInt16)] = []
        var started = 0
    }

    private let name: String
    private let guards: ProtocolGuards
    private let state = Mutex(State())

    init(_ name: String, count: Int, in world: LifecycleWorld, behind proxy: Proxy, guards: ProtocolGuards) throws {
        self.name = name
        self.guards = guards
        for _ in 0..<count { try start(nil, in: world, behind: proxy) }
    }

    private func start(_ seat: (Int, UInt16)?, in world: LifecycleWorld, behind proxy: Proxy) throws {
        let number = state.withLock { state in
            state.started += 1
            return state.started
        }
        let process = try WorldProcess(
            "\(name)-\(number)", in: world, behind: proxy, place: seat, guards: guards, journals: name)
        state.withLock { $0.living.append(process) }
    }

    /// One that is awake; the last is never killed or put to sleep, see ``spare``.
    func any(_ random: inout SeededRandom) -> WorldProcess {
        let living = state.withLock { $0.living }
        return living[Int.random(in: 0..<living.count, using: &random)]
    }

    /// Whether one may go and another is left.
    var spare: Bool { state.withLock { $0.living.count > 1 } }

    /// It was killed.
    func empty(_ process: WorldProcess) {
        state.withLock { state in
            state.living.removeAll { $0 === process }
            state.empty.append(process.seat)
        }
    }

    func occupy(_ process: WorldProcess) {
        state.withLock { state in
            state.living.removeAll { $0 === process }
            state.asleep.append(process)
        }
    }

    func free() {
        state.withLock { state in
            state.living += state.asleep
            state.asleep = []
        }
    }

    /// Starts a process on every empty seat; each recovers what the dead have left.
    func fill(in world: LifecycleWorld, behind proxy: Proxy) async throws -> Int {
        let seats = state.withLock { state in
            defer { state.empty = [] }
            return state.empty
        }
        for seat in seats { try start(seat, in: world, behind: proxy) }
        if !seats.isEmpty { await drain() }
        return seats.count
    }

    func drain() async {
        for process in state.withLock({ $0.living }) { await process.drain() }
    }

    func end() async {
        for process in state.withLock({ $0.living + $0.asleep }) { await process.kill() }
    }
}

/// Raised when a piece of work has ended.
final class Flag: Sendable {
    private let value = Mutex(false)

    init<Result: Sendable>(raisedAtEndOf work: Task<Result, any Error>) {
        Task {
            _ = try? await work.value
            self.value.withLock { $0 = true }
        }
    }

    var isRaised: Bool { value.withLock { $0 } }
}
