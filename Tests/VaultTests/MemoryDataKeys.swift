import Foundation
import Synchronization

@testable import Vault

/// Data keys in memory: the test twin of the store's repository.
final class MemoryDataKeys: DataKeyRepository {
    struct Unreachable: Error {}

    private struct State {
        var keys: [WrappedDataKey] = []
        var reads = 0
        var isReachable = true
    }

    private let state = Mutex(State())

    var keys: [WrappedDataKey] { state.withLock { $0.keys } }
    /// How often any method was called.
    var reads: Int { state.withLock { $0.reads } }

    func setReachable(_ isReachable: Bool) { state.withLock { $0.isReachable = isReachable } }

    private func access<T>(_ body: (inout [WrappedDataKey]) -> T) throws -> T {
        try state.withLock { state in
            state.reads += 1
            guard state.isReachable else { throw Unreachable() }
            return body(&state.keys)
        }
    }

    func newest(environmentID: Int64) async throws -> WrappedDataKey? {
        try access { keys in keys.filter { $0.environmentID == environmentID }.max { $0.createdAt < $1.createdAt } }
    }

    func newestOfEach() async throws -> [WrappedDataKey] {
        try access { keys in
            Dictionary(grouping: keys, by: \.environmentID)
                .compactMap { $0.value.max { $0.createdAt < $1.createdAt } }
                .sorted { $0.environmentID < $1.environmentID }
        }
    }

    func find(id: UUID) async throws -> WrappedDataKey? { try access { keys in keys.first { $0.id == id } } }

    func insert(_ key: WrappedDataKey) async throws -> WrappedDataKey {
        try access { keys in
            if let winner = keys.first(where: { $0.environmentID == key.environmentID && $0.createdAt >= key.createdAt }
            ) {
                return winner
            }
            keys.append(key)
            return key
        }
    }

    func addSeals(id: UUID, count: Int64) async throws {
        try access { keys in
            guard let index = keys.firstIndex(where: { $0.id == id }) else { return }
            let key = keys[index]
            keys[index] = WrappedDataKey(
                id: id, environmentID: key.environmentID, kekID: key.kekID, wrapped: key.wrapped,
                createdAt: key.createdAt, seals: key.seals + count)
        }
    }
}
