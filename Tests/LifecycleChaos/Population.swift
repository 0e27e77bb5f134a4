import Credentials
import Foundation
import LifecycleSupport
import Sandbox
import Store
import Synchronization

/// The connections of a run. One that breaks stays, to be counted at the end, and another takes its place.
final class Population: Sendable {
    struct Member: Sendable {
        let connection: ConnectionRecord
        let account: String
        let providerClass: ProviderClass
    }

    private struct State {
        var members: [Member] = []
        var refused: Set<String> = []
        var hot: Int?
    }

    /// How many of each class are kept. A single lost answer ends one of `strict-app`, so there are few.
    static let sizes: [(ProviderClass, Int)] = [
        (.replayable, 4), (.untilUsed, 6), (.windowed, 6), (.strict, 6), (.strictFamily, 6), (.strictApp, 2),
    ]
    /// Seconds that an access token lives: each is renewed about as often.
    static let life = 8.0

    private let world: LifecycleWorld
    private let state = Mutex(State())
    private let hotClass: ProviderClass

    init(_ world: LifecycleWorld, hot providerClass: ProviderClass) async throws {
        self.world = world
        hotClass = providerClass
        try await replenish()
    }

    var members: [Member] { state.withLock { $0.members } }

    /// Called on demand by everyone, all the time; another when it breaks.
    var hot: Member? { state.withLock { state in state.hot.map { state.members[$0] } } }

    /// A member whose provider has not told a false refusal yet: two of them would be a break, and nobody could know.
    func unrefused(_ index: Int) -> Member? {
        state.withLock { state in
            let candidates = state.members.filter { !state.refused.contains($0.account) }
            guard !candidates.isEmpty else { return nil }
            let member = candidates[index % candidates.count]
            state.refused.insert(member.account)
            return member
        }
    }

    /// Connects a new account for each that has broken.
    func replenish() async throws {
        let rows = try await world.states()
        defer { chooseHot(rows) }
        for (providerClass, size) in Self.sizes {
            let living = members.count { $0.providerClass == providerClass && rows[$0.connection.id] != .broken }
            for _ in living..<max(living, size) {
                let member = try await Self.join(providerClass, number: members.count, in: world)
                state.withLock { $0.members.append(member) }
            }
        }
    }

    private func chooseHot(_ rows: [Int64: ConnectionState]) {
        state.withLock { state in
            if let hot = state.hot, rows[state.members[hot].connection.id] != .broken { return }
            state.hot = state.members.lastIndex {
                $0.providerClass == hotClass && rows[$0.connection.id] != .broken
            }
        }
    }

    private static func join(
        _ providerClass: ProviderClass, number: Int, in world: LifecycleWorld
    ) async throws -> Member {
        let account = "m\(number)@example.com"
        let connection = try await world.connect(
            providerClass.rawValue, account: account, life: life, identity: "m\(number)")
        return Member(connection: connection, account: account, providerClass: providerClass)
    }
}
