import Catalog
import Credentials
import Foundation
import Postgres
import Store
import Vault

/// Replaces the client secret of an OAuth app without a moment in which its connections cannot refresh: `next` beside
/// the current one, `promote`, `retire`. Every mark of an attempt reads the secrets anew, so a change reaches all
/// connections of the app at once.
package struct ClientSecretRotation: Sendable {
    private let services: LifecycleServices

    package init(_ services: LifecycleServices) { self.services = services }

    /// What may be wrong, said as a code and a sentence.
    package struct Refusal: Error, Sendable, Hashable, CustomStringConvertible {
        package enum Code: String, Sendable {
            case noApp = "no_oauth_app", noNext = "no_next_secret", noOther = "no_second_secret", inUse =
                "secret_in_use", noSecret = "no_client_secret"
        }
        package let code: Code
        package let description: String
        package let repair: String
    }

    /// The OAuth app that an environment's integration uses.
    package func app(integration: Integration, environmentID: Int64) async throws -> OAuthAppRecord {
        let settings = try await IntegrationSettings.find(
            environmentID: environmentID, integration: integration.id, in: services.pool)
        guard let id = settings?.oauthAppID, let app = try await OAuthApps.find(id: id, in: services.pool) else {
            throw Refusal(
                code: .noApp, description: "\(integration.id) has no OAuth app in this environment",
                repair: "set one with PUT /v1/integrations/\(integration.id)")
        }
        return app
    }

    /// Stores the next secret. From the next attempt on it is tried wherever the current one is refused.
    /// - Throws: ``InvalidValue`` for a secret that cannot be one, ``Refusal``.
    package func setNext(_ secret: Secret, app: OAuthAppRecord, actor: String) async throws -> OAuthAppRecord {
        guard !secret.isEmpty, secret.count <= 8192, !secret.withBytes({ $0.contains(0) }) else {
            throw InvalidValue(
                item: "next_client_secret", problem: "is empty, longer than 8192 bytes or holds a NUL",
                repair: "send the secret as the provider shows it")
        }
        var seen = app
        for _ in 0..<8 {
            guard seen.clientSecret != nil else {
                throw Refusal(
                    code: .noSecret, description: "OAuth app \(seen.uid) is a public client",
                    repair: "give it its first secret with PUT /v1/integrations/{id} and client_secret")
            }
            let version = seen.newestVersion + 1
            let sealed = try await services.vault.seal(
                secret, .clientSecret(environmentID: seen.environmentID, appUID: seen.uid, version: version))
            let id = seen.id
            let stored = try await services.pool.transaction { db -> OAuthAppRecord? in
                guard
                    let stored = try await OAuthApps.setNext(id: id, sealedSecret: sealed, version: version, in: db)
                else { return nil }
                try await audit("client_secret.next", stored, version: version, actor: actor, in: db)
                return stored
            }
            if let stored { return stored }
            guard let again = try await OAuthApps.find(id: seen.id, in: services.pool) else { break }
            seen = again
        }
        throw Refusal(
            code: .noApp, description: "OAuth app \(app.uid) is being changed by others", repair: "send it again")
    }

    /// The next secret becomes the current one; the one before stays as a second until it is retired.
    package func promote(app: OAuthAppRecord, actor: String) async throws -> OAuthAppRecord {
        try await services.pool.transaction { db in
            guard let promoted = try await OAuthApps.promote(id: app.id, in: db) else {
                throw Refusal(
                    code: .noNext, description: "OAuth app \(app.uid) has no next secret",
                    repair: "send next_client_secret first")
            }
            try await audit("client_secret.promote", promoted, version: promoted.secretVersion, actor: actor, in: db)
            return promoted
        }
    }

    /// Destroys the secret beside the current one.
    package func retire(app: OAuthAppRecord, actor: String) async throws -> OAuthAppRecord {
        try await services.pool.transaction { db in
            guard let seen = try await OAuthApps.find(id: app.id, in: db), let other = seen.other else {
                throw Refusal(
                    code: .noOther, description: "OAuth app \(app.uid) has no second secret", repair: "nothing to do")
            }
            guard let retired = try await OAuthApps.retire(id: app.id, in: db) else {
                throw Refusal(
                    code: .inUse,
                    description: "version \(other.version) is the secret that the provider took last, and it refused "
                        + "version \(seen.secretVersion)",
                    repair: other.role == .next
                        ? "promote it instead" : "check the current secret at the provider; put it again if it is wrong"
                )
            }
            try await audit("client_secret.retire", retired, version: other.version, actor: actor, in: db)
            return retired
        }
    }

    /// What an operator should know of this provider before changing a secret.
    package func warnings(_ app: OAuthAppRecord) -> [String] {
        guard services.catalog.provider(app.provider)?.grants.endWithClientSecret == true else { return [] }
        return [
            "\(app.provider) ends every grant of an OAuth app when it makes a new client secret: all its connections "
                + "will have to be reconnected, and keeping two secrets cannot prevent it"
        ]
    }

    private func audit(
        _ action: String, _ app: OAuthAppRecord, version: Int64, actor: String, in db: any PostgresQuerying
    ) async throws {
        let details = #"{"oauth_app":"\#(app.uid)","version":\#(version)}"#
        try await Audit.record(
            environmentID: app.environmentID, actor: actor, action: action, connectionID: nil,
            details: Array(details.utf8), in: db)
    }
}
