import Postgres
import Queue
import Store

/// What operators do with an endpoint that needs none of its secrets. Each leaves a row in the audit.
package struct WebhookEndpointOperations: Sendable {
    private let pool: PostgresPool
    private let dispatcher: WebhookDispatcher

    package init(pool: PostgresPool, queue: JobQueue, configuration: WebhookConfiguration) {
        self.pool = pool
        dispatcher = WebhookDispatcher(pool: pool, queue: queue, configuration: configuration)
    }

    /// Lets deliveries to a disabled endpoint go on; breaks that still stand and that it was never told are sent to it.
    /// One that is enabled stays as it is.
    /// - Returns: the endpoint; nil when there is none of that name.
    package func enable(name: String, environmentID: Int64, actor: String) async throws -> WebhookEndpointRecord? {
        try await change(name, environmentID, "enable_webhook_endpoint", actor) { found, transaction in
            guard try await WebhookEndpoints.enable(id: found.id, in: transaction) else { return false }
            try await dispatcher.retell(endpointID: found.id, in: transaction)
            return true
        }
    }

    /// Stops deliveries; those that are pending fail at their next try, the feed keeps all.
    /// - Parameter reason: for those who look, at most 200 characters.
    /// - Returns: the endpoint; nil when there is none of that name.
    package func disable(
        name: String, reason: String, environmentID: Int64, actor: String
    ) async throws -> WebhookEndpointRecord? {
        try await change(name, environmentID, "disable_webhook_endpoint", actor) { found, transaction in
            try await WebhookEndpoints.disable(
                id: found.id, url: nil, reason: String(reason.prefix(200)), in: transaction)
        }
    }

    /// Ends a rotation: from now on only the present secret signs.
    /// - Returns: the endpoint; nil when there is none of that name.
    package func endRotation(name: String, environmentID: Int64, actor: String) async throws -> WebhookEndpointRecord? {
        try await change(name, environmentID, "end_webhook_rotation", actor) { found, transaction in
            try await WebhookEndpoints.endRotation(id: found.id, in: transaction)
        }
    }

    /// Deletes the endpoint and its deliveries; false when there is none of that name.
    package func delete(name: String, environmentID: Int64, actor: String) async throws -> Bool {
        let gone = try await pool.transaction { transaction -> WebhookEndpointRecord? in
            guard
                let found = try await WebhookEndpoints.lock(name: name, environmentID: environmentID, in: transaction),
                try await WebhookEndpoints.delete(name: name, environmentID: environmentID, in: transaction)
            else { return nil }
            try await found.audit("delete_webhook_endpoint", by: actor, in: transaction)
            return found
        }
        if let gone { try await dispatcher.lift(endpointUID: gone.uid) }
        return gone != nil
    }

    private func change(
        _ name: String, _ environmentID: Int64, _ action: String, _ actor: String,
        _ body: (WebhookEndpointRecord, any PostgresQuerying) async throws -> Bool
    ) async throws -> WebhookEndpointRecord? {
        try await pool.transaction { transaction in
            guard
                let found = try await WebhookEndpoints.lock(name: name, environmentID: environmentID, in: transaction)
            else { return nil }
            guard try await body(found, transaction) else { return found }
            try await found.audit(action, by: actor, in: transaction)
            return try await WebhookEndpoints.find(name: name, environmentID: environmentID, in: transaction)
        }
    }
}

extension WebhookEndpointRecord {
    /// A row of the audit about this endpoint.
    func audit(_ action: String, by actor: String, in db: any PostgresQuerying) async throws {
        try await Audit.record(
            environmentID: environmentID, actor: actor, action: action, connectionID: nil,
            details: Array(#"{"endpoint":"\#(uid)","secret_version":\#(secretVersion)}"#.utf8), in: db)
    }
}
