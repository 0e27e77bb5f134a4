import Credentials
import Foundation
import Logging
import Postgres
import Store
import Vault

/// Connections to refresh, sealed as real ones are.
struct RefreshDatabase: Sendable {
    let pool: PostgresPool
    let vault: CredentialVault

    init(url: String, keyring: String, logger: Logger) throws {
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 2
        configuration.statementTimeout = .seconds(3600)
        configuration.applicationName = "evergrant-bench"
        pool = PostgresPool(configuration, logger: logger)
        vault = CredentialVault(
            keyring: try Keyring.generate(at: keyring), repository: DataKeys(pool: pool), logger: logger)
    }

    /// So many connections of an integration, none of them due.
    func fill(_ count: Int, integration: String) async throws {
        var environment = try await Environments.find(name: "bench", in: pool)
        if environment == nil { environment = try await Environments.insert(name: "bench", mode: .test, in: pool) }
        guard let environment else { throw BenchmarkError(.failed, "the environment could not be made") }
        let appUID = "app_" + SecureRandom.hex()
        let app = try await OAuthApps.insert(
            uid: appUID, environmentID: environment.id, provider: integration, clientID: "bench-client",
            sealedSecret: try await vault.seal(
                Secret("bench-secret"), .clientSecret(environmentID: environment.id, appUID: appUID, version: 1)),
            parameters: [:], in: pool)
        let expires = Date().addingTimeInterval(3600)
        for start in stride(from: 0, to: count, by: 1000) {
            var uids: [String] = []
            var sealed: [[UInt8]] = []
            for number in start..<min(start + 1000, count) {
                let uid = UUID()
                let tokens = TokenSet(
                    accessToken: Secret("bench_at_\(number)_" + String(repeating: "a", count: 190)),
                    refreshToken: Secret("bench_rt_\(number)_" + String(repeating: "r", count: 90)), expiresAt: expires)
                uids.append(uid.uuidString)
                sealed.append(
                    try await vault.seal(
                        tokens.plaintext(), .connectionTokens(environmentID: environment.id, uid: uid, generation: 1)))
            }
            try await pool.execute(
                Self.insert,
                [
                    .int8(environment.id), .text(integration), .int8(app.id), .textArray(uids), .byteaArray(sealed),
                    .timestamptz(expires),
                ])
        }
        try await run("vacuum analyze evergrant.connections, evergrant.credentials")
    }

    /// Makes all of them due now; they are refreshed when all have a later `last_refreshed_at` than what is returned.
    func makeDue(integration: String) async throws -> Date {
        let rows = try await pool.execute(Self.due, [.text(integration)])
        guard let row = rows.first else { throw BenchmarkError(.failed, "there are no connections") }
        return try row.decode(Date.self)
    }

    /// How many have been refreshed since, and how many seconds lie between the first attempt and the last commit.
    func progress(since: Date, integration: String) async throws -> (done: Int, seconds: Double) {
        let rows = try await pool.execute(Self.progress, [.text(integration), .timestamptz(since)])
        guard let row = rows.first else { return (0, 0) }
        let (done, seconds) = try row.decode(Int.self, Double?.self)
        return (done, seconds ?? 0)
    }

    func run(_ sql: String) async throws { try await pool.execute(PostgresStatement("prepare measurement", sql)) }

    private static let insert = PostgresStatement(
        "insert connections",
        """
        with made as (
            insert into evergrant.connections (uid, environment_id, mode, integration, provider, oauth_app_id,
                identity_type, identity, state, grant_id, access_issued_at, access_expires_at)
            select u::uuid, $1, 'test', $2, $2, $3, 'user', 'user-' || u, 'active', u::uuid, now(), $6
            from unnest($4::text[]) u returning id, uid)
        insert into evergrant.credentials (connection_id, grant_id, generation, sealed, issued_at)
        select made.id, made.uid, 1, s.sealed, now()
        from made join unnest($4::text[], $5::bytea[]) s(uid, sealed) on made.uid = s.uid::uuid
        """)

    private static let due = PostgresStatement(
        "make connections due",
        """
        with due as (
            update evergrant.connections set refresh_due_at = now() where integration = $1 returning id)
        select now() from due limit 1
        """)

    private static let progress = PostgresStatement(
        "look at refreshes",
        """
        select count(*), extract(epoch from max(last_refreshed_at) - min(access_issued_at))::float8
        from evergrant.connections where integration = $1 and last_refreshed_at > $2
        """)
}
