import Credentials
import Foundation
import Postgres
import Queue
import Store
import Vault

/// Makes and changes endpoints. It seals their secrets and hands a new one out once.
package struct WebhookEndpointEditor: Sendable {
    /// What a change left, and the secret that it made.
    package struct Change: Sendable {
        package let endpoint: WebhookEndpointRecord
        /// Set when a secret was made or taken: to be shown now and never again.
        package let secret: WebhookSecret?
    }

    private let pool: PostgresPool
    private let dispatcher: WebhookDispatcher
    private let vault: CredentialVault
    private let configuration: WebhookConfiguration

    package init(pool: PostgresPool, queue: JobQueue, vault: CredentialVault, configuration: WebhookConfiguration) {
        self.pool = pool
        dispatcher = WebhookDispatcher(pool: pool, queue: queue, configuration: configuration)
        self.vault = vault
        self.configuration = configuration
    }

    /// Makes the endpoint of that name, or sets its URL and types. One that was disabled is enabled, and breaks that
    /// still stand and that it was never told are sent to it.
    /// - Parameters:
    ///   - types: nil for ``Events/told``; `*` for all of connections.
    ///   - secret: for a new endpoint; one is drawn when it is nil. That of an existing endpoint stays.
    /// - Throws: ``InvalidValue`` for a name, URL or type that can't be used.
    package func put(
        name: String, url: String, types: [String]?, secret: WebhookSecret? = nil, environmentID: Int64,
        actor: String = "system"
    ) async throws -> Change {
        try WebhookEndpointRules.check(name: name)
        try WebhookEndpointRules.check(url: url, allowsPlainHTTP: configuration.allowsPlainHTTP)
        try WebhookEndpointRules.check(types: types)
        if let change = try await update(
            name: name, url: url, types: types, environmentID: environmentID, actor: actor)
        {
            return change
        }
        let uid = WebhookEndpoints.newUID()
        let drawn = secret ?? WebhookSecret()
        let sealed = try await vault.seal(
            drawn.text, .webhookSecret(environmentID: environmentID, endpointUID: uid, version: 1))
        let made = try await pool.transaction { transaction in
            let made = try await WebhookEndpoints.insert(
                uid: uid, environmentID: environmentID, name: name, url: url, types: types, sealedSecret: sealed,
                in: transaction)
            try await made?.audit("put_webhook_endpoint", by: actor, in: transaction)
            return made
        }
        if let made {
            try await dispatcher.limit(endpointUID: uid)
            return Change(endpoint: made, secret: drawn)
        }
        // Another call made it in this moment.
        if let change = try await update(
            name: name, url: url, types: types, environmentID: environmentID, actor: actor)
        {
            return change
        }
        throw Self.missing(name)
    }

    /// Gives the endpoint a new secret; the present one signs on for the configured time, so that the receiver may
    /// change at any moment of it.
    /// - Parameter overlap: how long the present one signs on; nil: as configured, zero: not at all.
    /// - Throws: ``InvalidValue`` when there is no endpoint of that name.
    package func rotateSecret(
        name: String, secret: WebhookSecret? = nil, overlap: Duration? = nil, environmentID: Int64,
        actor: String = "system"
    ) async throws -> Change {
        let drawn = secret ?? WebhookSecret()
        while true {
            guard
                let endpoint = try await WebhookEndpoints.find(name: name, environmentID: environmentID, in: pool)
            else { throw Self.missing(name) }
            let version = endpoint.secretVersion + 1
            let sealed = try await vault.seal(
                drawn.text, .webhookSecret(environmentID: environmentID, endpointUID: endpoint.uid, version: version))
            // Nil when another rotation took the version: seal for the next.
            let changed = try await pool.transaction { transaction in
                let changed = try await WebhookEndpoints.rotateSecret(
                    id: endpoint.id, sealedSecret: sealed, version: version,
                    overlap: overlap ?? configuration.secretOverlap, in: transaction)
                try await changed?.audit("rotate_webhook_secret", by: actor, in: transaction)
                return changed
            }
            if let changed {
                return Change(endpoint: changed, secret: drawn)
            }
        }
    }

    private func update(
        name: String, url: String, types: [String]?, environmentID: Int64, actor: String
    ) async throws -> Change? {
        try await pool.transaction { transaction in
            guard
                let before = try await WebhookEndpoints.lock(
                    name: name, environmentID: environmentID, in: transaction),
                let after = try await WebhookEndpoints.update(id: before.id, url: url, types: types, in: transaction)
            else { return nil }
            if before.disabledAt != nil || before.failingSince != nil {
                try await dispatcher.retell(endpointID: before.id, in: transaction)
            }
            try await after.audit("put_webhook_endpoint", by: actor, in: transaction)
            return Change(endpoint: after, secret: nil)
        }
    }

    private static func missing(_ name: String) -> InvalidValue {
        InvalidValue(
            item: "webhook endpoint \(name)", problem: "does not exist", repair: "put it first, or list the endpoints")
    }
}
