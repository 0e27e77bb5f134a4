import Postgres
import Synchronization

/// A queue as people know it: each environment has its own.
package struct QueueName: Sendable, Hashable, Comparable {
    package let environmentID: Int64
    package let name: String

    package init(environmentID: Int64, name: String) {
        self.environmentID = environmentID
        self.name = name
    }

    package static func < (left: QueueName, right: QueueName) -> Bool {
        (left.environmentID, left.name) < (right.environmentID, right.name)
    }
}

/// Ids of queues and kinds, kept for life: the database never deletes one.
///
/// Missing names are made over a pool connection and committed at once, never inside a caller's transaction: its rollback
/// would take back an id that is in the cache.
final class QueueNames: Sendable {
    private struct Known {
        var queues: [QueueName: Int32] = [:]
        var queueNames: [Int32: QueueName] = [:]
        var kinds: [String: Int32] = [:]
        var kindNames: [Int32: String] = [:]
    }

    private let pool: PostgresPool
    private let known = Mutex(Known())

    init(pool: PostgresPool) { self.pool = pool }

    /// Knows all of these afterwards; makes those that are new.
    func prepare(queues: some Sequence<QueueName>, kinds: some Sequence<String>) async throws {
        // An insert that met another's open one sees it only in its next snapshot.
        let areKnown = known.withLock { known in
            queues.allSatisfy { known.queues[$0] != nil } && kinds.allSatisfy { known.kinds[$0] != nil }
        }
        if areKnown { return }
        for _ in 0..<5 {
            let (newQueues, newKinds) = known.withLock { known in
                (
                    Set(queues.filter { known.queues[$0] == nil }).sorted(),
                    Set(kinds.filter { known.kinds[$0] == nil }).sorted()
                )
            }
            if newQueues.isEmpty, newKinds.isEmpty { return }
            if !newQueues.isEmpty {
                let rows = try await pool.execute(
                    Statements.nameQueues,
                    [.int8Array(newQueues.map(\.environmentID)), .textArray(newQueues.map(\.name))])
                try learnQueues(rows)
            }
            if !newKinds.isEmpty {
                try learnKinds(try await pool.execute(Statements.nameKinds, [.textArray(newKinds)]))
            }
        }
        throw QueueError(.inconsistent, "queues or kinds that were made are not there")
    }

    /// Knows the names of these ids afterwards, as far as the database does.
    func learn(queues: some Sequence<Int32>, kinds: some Sequence<Int32>) async throws {
        let areKnown = known.withLock { known in
            queues.allSatisfy { known.queueNames[$0] != nil } && kinds.allSatisfy { known.kindNames[$0] != nil }
        }
        if areKnown { return }
        let (newQueues, newKinds) = known.withLock { known in
            (
                Set(queues.filter { known.queueNames[$0] == nil }),
                Set(kinds.filter { known.kindNames[$0] == nil })
            )
        }
        if !newQueues.isEmpty {
            try learnQueues(try await pool.execute(Statements.findQueues, [.int4Array(Array(newQueues))]))
        }
        if !newKinds.isEmpty {
            try learnKinds(try await pool.execute(Statements.findKinds, [.int4Array(Array(newKinds))]))
        }
    }

    /// A kind's id; nil when nothing of that kind was ever enqueued. Makes none.
    func find(kind name: String) async throws -> Int32? {
        if let id = kind(name) { return id }
        try learnKinds(try await pool.execute(Statements.kindNamed, [.text(name)]))
        return kind(name)
    }

    func queue(_ name: QueueName) -> Int32? { known.withLock { $0.queues[name] } }
    func kind(_ name: String) -> Int32? { known.withLock { $0.kinds[name] } }
    func queueName(_ id: Int32) -> QueueName? { known.withLock { $0.queueNames[id] } }
    func kindName(_ id: Int32) -> String? { known.withLock { $0.kindNames[id] } }

    private func learnQueues(_ rows: PostgresRows) throws {
        for row in rows {
            let (id, environmentID, name) = try row.decode(Int32.self, Int64.self, String.self)
            known.withLock {
                $0.queues[QueueName(environmentID: environmentID, name: name)] = id
                $0.queueNames[id] = QueueName(environmentID: environmentID, name: name)
            }
        }
    }

    private func learnKinds(_ rows: PostgresRows) throws {
        for row in rows {
            let (id, name) = try row.decode(Int32.self, String.self)
            known.withLock {
                $0.kinds[name] = id
                $0.kindNames[id] = name
            }
        }
    }
}
