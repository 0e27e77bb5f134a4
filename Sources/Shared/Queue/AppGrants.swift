import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What one database role of an app may do in one environment, by the functions made for apps (`evergrant.enqueue` and
/// its like): enqueue jobs of these kinds, and see, cancel and retry every job of them.
package struct AppGrant: Sendable, Hashable {
    /// A login, or a role whose members it holds for.
    package let role: String
    package let environmentID: Int64
    /// By name.
    package let kinds: [String]
    /// The most urgent priority it may use, 0 to 3; 0 is the most urgent.
    package let bestPriority: Int16
    /// How many jobs one call may send, up to 10,000.
    package let largestBatch: Int
    /// It may make queues until the environment has so many.
    package let mostQueues: Int
    package let createdAt: Date
    package let changedAt: Date
    package let access: AppAccess
}

/// Whether the server lets a role call the functions at all.
package enum AppAccess: String, Sendable, Hashable {
    /// There is no such role in the cluster.
    case missing
    /// It is there and may not call them: it lacks membership in the role for apps.
    case closed
    /// It may call them and cannot log in: its members can.
    case group
    /// It may log in and call them.
    case open
}

/// Who may enqueue by SQL, and what. Nothing here makes or changes a role of the cluster.
package struct AppGrants: Sendable {
    private let pool: PostgresPool
    private let names: QueueNames

    package init(pool: PostgresPool) {
        self.pool = pool
        names = QueueNames(pool: pool)
    }

    /// The grants of an environment, or all, by role.
    package func list(environmentID: Int64? = nil) async throws -> [AppGrant] {
        try await pool.execute(Statements.listAppGrants, [.optional(environmentID) { .int8($0) }]).map(AppGrant.init)
    }

    /// Adds kinds to what the role may use in the environment, and sets what is not nil; a new grant begins with
    /// priority 2, 1,000 jobs a call and 10 queues. Makes the environment's queue `default`, so that no transaction of
    /// an app has to. Throws `QueueError.invalid` for what the table would refuse.
    package func allow(
        role: String, environmentID: Int64, kinds: [String], bestPriority: Int16? = nil, largestBatch: Int? = nil,
        mostQueues: Int? = nil
    ) async throws -> AppGrant {
        try Self.require((1...63).contains(role.utf8.count) && !role.utf8.contains(0), "a role has 1 to 63 bytes")
        try Self.require(!kinds.isEmpty, "name the kinds that are to be allowed")
        for kind in kinds {
            try Self.require(
                kind.wholeMatch(of: /[a-z][a-z0-9_.-]{0,99}/) != nil,
                "\"\(kind.prefix(80))\" is no kind: small letters, digits, dots, _ and -, a letter first, at most 100")
        }
        try Self.require(bestPriority.map { (0...3).contains($0) } ?? true, "a priority is 0 to 3")
        try Self.require(largestBatch.map { (1...10_000).contains($0) } ?? true, "a call has 1 to 10,000 jobs")
        try Self.require(mostQueues.map { (0...1000).contains($0) } ?? true, "queues are 0 to 1,000")
        try await names.prepare(queues: [QueueName(environmentID: environmentID, name: "default")], kinds: kinds)
        try await pool.execute(
            Statements.allowApp,
            [
                .text(role), .int8(environmentID), .int4Array(kinds.compactMap(names.kind)),
                .optional(bestPriority) { .int2($0) }, .optional(largestBatch) { .int4(Int32($0)) },
                .optional(mostQueues) { .int4(Int32($0)) },
            ])
        guard let grant = try await find(role: role, environmentID: environmentID) else {
            throw QueueError(.inconsistent, "the grant of role \(role) was made and is not there")
        }
        return grant
    }

    /// Takes kinds away, or with none named the whole grant, also when a last kind goes. Jobs that are enqueued stay.
    /// Returns whether there was anything to take.
    package func deny(role: String, environmentID: Int64, kinds: [String] = []) async throws -> Bool {
        let rows = try await pool.execute(
            Statements.denyApp, [.text(role), .int8(environmentID), .textArray(kinds), .bool(kinds.isEmpty)])
        return rows.first != nil
    }

    private func find(role: String, environmentID: Int64) async throws -> AppGrant? {
        try await list(environmentID: environmentID).first { $0.role == role }
    }

    private static func require(_ holds: Bool, _ rule: String) throws {
        if !holds { throw QueueError(.invalid, rule) }
    }
}

extension AppGrant {
    /// Reads role, environment, kinds, priority, batch, queues, created, changed, access.
    fileprivate init(_ row: PostgresRow) throws {
        let word: String
        let batch: Int32
        let queues: Int32
        (role, environmentID, kinds, bestPriority, batch, queues, createdAt, changedAt, word) = try row.decode(
            String.self, Int64.self, [String].self, Int16.self, Int32.self, Int32.self, Date.self, Date.self,
            String.self)
        largestBatch = Int(batch)
        mostQueues = Int(queues)
        guard let access = AppAccess(rawValue: word) else {
            throw QueueError(.inconsistent, "the access of role \(role) is \(word)")
        }
        self.access = access
    }
}
