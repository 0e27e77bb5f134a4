import Foundation
import Pacing
import Postgres
import Vault

/// The OAuth app that a signal is for, with what proves the sender.
package struct SignalTarget: Sendable {
    package let environmentID: Int64
    package let appID: Int64
    package let appUID: String
    /// Sealed at ``SealContext/signingSecret(environmentID:appUID:version:)``.
    package let signingSecret: [UInt8]?
    package let signingSecretVersion: Int64
    package let clientSecret: [UInt8]?
    package let secretVersion: Int64
}

/// Signing secrets of OAuth apps, signals seen, and the connections that a signal names.
package enum SigningSecrets {
    package static func target(
        environment: String, integration: String, in db: any PostgresQuerying
    ) async throws -> SignalTarget? {
        try await db.execute(targetStatement, [.text(environment), .text(integration)]).first.map(SignalTarget.init)
    }

    /// The apps with this client id, of whatever environment.
    package static func targets(
        provider: String, clientID: String, in db: any PostgresQuerying
    ) async throws -> [SignalTarget] {
        try await db.execute(targetsStatement, [.text(provider), .text(clientID)]).map(SignalTarget.init)
    }

    /// The version that the next secret is sealed for, and whether there is one now; nil when there is no such app.
    package static func current(
        appID: Int64, in db: any PostgresQuerying
    ) async throws -> (version: Int64, isSet: Bool)? {
        try await db.execute(currentStatement, [.int8(appID)]).first.map { row in
            let (version, isSet) = try row.decode(Int64.self, Bool.self)
            return (version, isSet)
        }
    }

    /// - Parameter sealed: sealed for `version`; nil forgets the secret.
    /// - Returns: false when another change came first.
    package static func set(
        appID: Int64, sealed: [UInt8]?, version: Int64, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            setStatement, [.int8(appID), .optional(sealed) { .bytea($0) }, .int8(version)]
        ).first != nil
    }

    /// Which apps of an environment have one.
    package static func apps(environmentID: Int64, in db: any PostgresQuerying) async throws -> Set<Int64> {
        Set(try await db.execute(listStatement, [.int8(environmentID)]).map { try $0.decode(Int64.self) })
    }

    /// Notes a signal, and forgets some that are long past.
    /// - Returns: false when it is a repeat.
    package static func remember(
        digest: [UInt8], appID: Int64, keep: Duration, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(forgetStatement, [])
        return try await db.execute(
            rememberStatement, [.int8(appID), .bytea(digest), .float8(keep.seconds)]
        ).first != nil
    }

    /// The usable connections of these accounts; what a signal says for certain is noted on those whose grant is older.
    package static func connections(
        appID: Int64, accounts: [String], uninstalledAt: Date?, in db: any PostgresQuerying
    ) async throws -> [Int64] {
        guard !accounts.isEmpty else { return [] }
        return try await db.execute(
            namedStatement, [.int8(appID), .textArray(accounts), .optional(uninstalledAt) { .timestamptz($0) }]
        ).map { try $0.decode(Int64.self) }
    }

    private static let columns = """
        a.environment_id, a.id, a.uid, a.signing_secret, a.signing_secret_version, a.client_secret, a.secret_version
        """

    /// Index: environments' unique name, primary keys.
    private static let targetStatement = PostgresStatement(
        "find_signal_target",
        """
        select \(columns) from evergrant.environments e
        join evergrant.integrations i on i.environment_id = e.id and i.integration = $2 and i.enabled
        join evergrant.oauth_apps a on a.id = i.oauth_app_id where e.name = $1
        """)

    /// Index: oauth_apps_of_environment, by a skip over the few environments.
    private static let targetsStatement = PostgresStatement(
        "find_signal_targets",
        """
        select \(columns) from evergrant.environments e
        join evergrant.oauth_apps a on a.environment_id = e.id and a.provider = $1
        where a.client_id = $2 limit 20
        """)

    private static let currentStatement = PostgresStatement(
        "find_signing_secret",
        "select signing_secret_version, signing_secret is not null from evergrant.oauth_apps where id = $1")

    private static let setStatement = PostgresStatement(
        "set_signing_secret",
        """
        update evergrant.oauth_apps set signing_secret = $2, signing_secret_version = $3, updated_at = now()
        where id = $1 and signing_secret_version = $3 - 1 returning id
        """)

    private static let listStatement = PostgresStatement(
        "list_signing_secrets",
        "select id from evergrant.oauth_apps where environment_id = $1 and signing_secret is not null")

    private static let forgetStatement = PostgresStatement(
        "forget_signals",
        """
        delete from evergrant.inbound_signals where (oauth_app_id, digest) in (
            select oauth_app_id, digest from evergrant.inbound_signals where expires_at < now()
            order by expires_at limit 20 for update skip locked)
        """)

    private static let rememberStatement = PostgresStatement(
        "remember_signal",
        """
        insert into evergrant.inbound_signals (oauth_app_id, digest, expires_at)
        values ($1, $2, now() + make_interval(secs => $3)) on conflict do nothing returning oauth_app_id
        """)

    /// Index: connections_of_account. A row whose grant was made later than the uninstall is probed, and no more.
    private static let namedStatement = PostgresStatement(
        "note_signal",
        """
        update evergrant.connections set
            uninstalled_at = case when granted_at < $3 then $3 else uninstalled_at end, updated_at = now()
        where oauth_app_id = $1 and account_id = any($2) and state in ('active', 'degraded', 'suspected')
        returning id
        """)
}

extension SignalTarget {
    fileprivate init(_ row: PostgresRow) throws {
        (environmentID, appID, appUID, signingSecret, signingSecretVersion, clientSecret, secretVersion) =
            try row.decode(
                Int64.self, Int64.self, String.self, [UInt8]?.self, Int64.self, [UInt8]?.self, Int64.self)
    }
}

extension SealContext {
    /// The secret by which a provider signs its signals to this OAuth app.
    package static func signingSecret(environmentID: Int64, appUID: String, version: Int64) -> SealContext {
        SealContext(
            purpose: "oauth_app.signing_secret", environmentID: environmentID, rowID: appUID, generation: version)
    }
}
