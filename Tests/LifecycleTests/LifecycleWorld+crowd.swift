import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import OAuth
import Pacing
import Postgres
import Sandbox
import Store
import Vault

/// Many connections of one OAuth app, and a fleet of one process that keeps them.
extension LifecycleWorld {
    /// Connections of one OAuth app with grants of their own.
    func family(_ provider: String, _ count: Int, life: Double = 3600) async throws -> [ConnectionRecord] {
        var members: [ConnectionRecord] = []
        for number in 0..<count {
            let member = try await connect(
                provider, account: "user\(number)@example.com", life: life, identity: "user-\(number)")
            if let first = members.first, let app = first.oauthAppID {
                try await OAuthApps.adopt(connectionID: member.id, app: app, in: pool)
            }
            members.append(member)
        }
        return try await rows(members)
    }

    /// Connections of one OAuth app which all hold the first one's grant: the class must be `replayable`. Quick to make.
    func crowd(_ count: Int, life: Double = 3600) async throws -> [ConnectionRecord] {
        let first = try await connect("replayable", life: life)
        guard let sealed = try await Validations.current(connectionID: first.id, in: pool) else { return [] }
        let tokens = try TokenSet(
            plaintext: await vault.open(
                sealed, .connectionTokens(environmentID: environmentID, uid: first.uid, generation: 1)))
        return try await withThrowingTaskGroup(of: ConnectionRecord.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    var last = first
                    for number in stride(from: worker + 1, to: count, by: 8) {
                        let uid = UUID()
                        let schedule = GrantSchedule.make(
                            tokens: tokens, issuedAt: Date(), lifetimes: GrantLifetimes(), requestedScopes: [],
                            key: uid)
                        let sealed = try await vault.seal(
                            tokens.plaintext(),
                            .connectionTokens(environmentID: environmentID, uid: uid, generation: 1))
                        last = try await Connections.insert(
                            NewConnection(
                                uid: uid, environmentID: environmentID, mode: .test, integration: first.integration,
                                provider: first.provider, oauthAppID: first.oauthAppID,
                                identity: Identity(type: .user, value: "user-\(number)"),
                                grant: NewGrant(
                                    schedule: schedule, accountID: "account-\(number)", accountLabel: nil)),
                            sealed: sealed, in: pool)
                    }
                    return last
                }
            }
            return try await group.reduce(into: [first]) { $0.append($1) }
        }
    }

    func rows(_ connections: [ConnectionRecord]) async throws -> [ConnectionRecord] {
        var rows: [ConnectionRecord] = []
        for connection in connections { rows.append(try await row(connection)) }
        return rows
    }

    func makeAllDue() async throws {
        try await run("update evergrant.connections set refresh_due_at = now()")
    }

    func run(_ sql: String) async throws { try await pool.execute(PostgresStatement("test_run", sql), []) }

    func number(_ sql: String) async throws -> Int {
        try await pool.execute(PostgresStatement("test_number", "select (\(sql))::int8"), []).first?.decode(Int.self)
            ?? 0
    }

    func texts(_ sql: String) async throws -> [String] {
        try await pool.execute(PostgresStatement("test_texts", sql), []).map { try $0.decode(String.self) }
    }

    /// How many connections are in each state.
    func states() async throws -> [String: Int] {
        let pairs = try await pool.execute(
            PostgresStatement("test_states", "select state, count(*) from evergrant.connections group by 1"), []
        ).map { try $0.decode(String.self, Int.self) }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    /// Events that an app hears of unless it asks for more, but for those of connecting.
    func toldToUsers() async throws -> Int {
        try await number(
            """
            select count(*) from evergrant.events where connection_id is not null and type in
                ('connection.broken', 'connection.recovered', 'connection.deleted', 'connection.revoked')
            """)
    }

    /// Requests at the class's token endpoint with a refresh, made-up ones included.
    func asked(_ provider: ProviderClass) -> Int {
        sandbox.state.counts(of: provider).tallies.filter { $0.endpoint == .tokenRefresh }.reduce(0) { $0 + $1.count }
    }

    func asked(of provider: String) -> Int { ProviderClass(rawValue: provider).map(asked) ?? 0 }

    func removeFaults() { _ = sandbox.state.removeFaults() }

    /// What a scheduler and its workers do once: what is due is tried, what is open past its deadline is recovered, and
    /// the process's health is kept.
    /// - Returns: how many were refreshed.
    @discardableResult
    func round(_ keeper: HealthKeeper, limit: Int = 400) async throws -> Int {
        try await keeper.turn()
        let due = try await Attempts.claimDue(limit: limit, claim: .seconds(900), in: pool).map(\.id)
        let attempts = RefreshAttempts(services)
        let refreshed = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<16 {
                group.addTask {
                    var count = 0
                    for index in stride(from: worker, to: due.count, by: 16) {
                        let result = try await attempts.refresh(connectionID: due[index], generation: nil)
                        if result == .refreshed { count += 1 }
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        for open in try await Attempts.openPastDeadline(limit: 100, in: pool) {
            _ = try await attempts.recover(connectionID: open.connectionID, nonce: open.nonce)
        }
        return refreshed
    }

    /// Rounds until the condition holds.
    func live(
        _ keeper: HealthKeeper, seconds: Double = 60, until condition: () async throws -> Bool
    ) async throws {
        let deadline = BootInstant.now().advanced(by: .seconds(seconds))
        while try await !condition() {
            if BootInstant.now() > deadline {
                throw InvalidValue(
                    item: "condition", problem: "did not come true in \(seconds) s: \(try await states())",
                    repair: "see the test")
            }
            try await round(keeper)
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
