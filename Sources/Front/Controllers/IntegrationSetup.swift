import Catalog
import Connect
import Credentials
import Foundation
import HTTPTypes
import Postgres
import Store
import Vault

/// The body of `PUT /v1/integrations/{id}`. What is left out stays as it is.
struct IntegrationChange: RequestFields {
    static let fields = ["enabled", "client_id", "client_secret", "scopes", "parameters", "title", "guide"]
    let enabled: Bool?
    let client_id: String?
    /// Write-only.
    let client_secret: String?
    let scopes: [String]?
    /// The operator's URL parameters, such as a self-hosted GitLab's host.
    let parameters: [String: String]?
    let title: String?
    let guide: String?
}

/// Enables an integration in one environment and keeps its OAuth app.
struct IntegrationSetup: Sendable {
    let services: FrontServices
    let environmentID: Int64

    func apply(
        _ change: IntegrationChange, to integration: Integration, actor: String
    ) async throws -> IntegrationSettingsRecord {
        let before = try await IntegrationSettings.find(
            environmentID: environmentID, integration: integration.id, in: services.pool)
        try check(change, integration)
        var app = try await before?.oauthAppID.asyncFlatMap { try await OAuthApps.find(id: $0, in: services.pool) }
        let wantsApp = change.client_id != nil || change.client_secret != nil || change.parameters != nil
        // Sealing may need the database itself, so it happens before the transaction.
        let clientID = change.client_id ?? app?.clientID
        if wantsApp {
            guard let providerID = integration.providerID else {
                throw HTTPProblem.invalid("client_id", "is not used by an integration with API keys")
            }
            guard let clientID, !clientID.isEmpty else { throw HTTPProblem.invalid("client_id", "is missing") }
            let parameters = try integration.operatorValues(change.parameters ?? app?.parameters ?? [:])
            app = try await put(
                provider: providerID, clientID: clientID, secret: change.client_secret.map { Secret($0) },
                parameters: parameters)
        }
        let display = IntegrationDisplay(
            title: change.title.map { $0.isEmpty ? nil : $0 } ?? before?.display.title,
            guide: change.guide.map { $0.isEmpty ? nil : $0 } ?? before?.display.guide)
        let appID = app?.id
        return try await services.pool.transaction { db in
            let record = try await IntegrationSettings.put(
                environmentID: environmentID, integration: integration.id,
                isEnabled: change.enabled ?? before?.isEnabled ?? true, oauthAppID: appID,
                scopes: change.scopes ?? before?.scopes, display: display, in: db)
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "configure_integration", connectionID: nil,
                details: Array(#"{"integration":"\#(integration.id)"}"#.utf8), in: db)
            return record
        }
    }

    private func check(_ change: IntegrationChange, _ integration: Integration) throws(HTTPProblem) {
        let bounds: [(String, String?, Int)] = [
            ("client_id", change.client_id, 1024), ("client_secret", change.client_secret, 8192),
            ("title", change.title, 80), ("guide", change.guide, 2000),
        ]
        for (field, text, limit) in bounds {
            guard let text else { continue }
            if text.utf8.count > limit { throw .invalid(field, "is longer than \(limit) bytes") }
            if text.utf8.contains(0) { throw .invalid(field, "contains a NUL character") }
        }
        if change.client_secret?.isEmpty == true { throw .invalid("client_secret", "is empty") }
        for scope in change.scopes ?? [] where scope.isEmpty || scope.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f })
        {
            throw .invalid("scopes", "holds an empty scope or one with white space")
        }
    }

    /// Makes the app, or gives an existing one its new secret and parameters.
    private func put(
        provider: String, clientID: String, secret: Secret?, parameters: [String: String]
    ) async throws -> OAuthAppRecord {
        for _ in 0..<8 {
            let seen = try await OAuthApps.list(environmentID: environmentID, in: services.pool)
                .first { $0.provider == provider && $0.clientID == clientID }
            let uid = seen?.uid ?? "app_" + SecureRandom.hex()
            let version = (seen?.newestVersion ?? 0) + 1
            var sealed: [UInt8]?
            if let secret {
                sealed = try await services.vault.seal(
                    secret, .clientSecret(environmentID: environmentID, appUID: uid, version: version))
            }
            let done = try await write(
                seen: seen, uid: uid, version: version, provider: provider, clientID: clientID, sealed: sealed,
                parameters: parameters)
            if let done { return done }
        }
        throw HTTPProblem(
            .conflict, "changed_meanwhile", "The OAuth app is being changed by others.", hint: "send it again")
    }

    private func write(
        seen: OAuthAppRecord?, uid: String, version: Int64, provider: String, clientID: String, sealed: [UInt8]?,
        parameters: [String: String]
    ) async throws -> OAuthAppRecord? {
        let environmentID = environmentID
        return try await services.pool.transaction { db in
            let locked = try await OAuthApps.lock(
                environmentID: environmentID, provider: provider, clientID: clientID, in: db)
            guard let locked else {
                return try await OAuthApps.insert(
                    uid: uid, environmentID: environmentID, provider: provider, clientID: clientID,
                    sealedSecret: sealed, parameters: parameters, in: db)
            }
            guard locked.uid == seen?.uid else { return nil }
            if let sealed {
                guard
                    try await OAuthApps.replaceSecret(id: locked.id, sealedSecret: sealed, version: version, in: db)
                        != nil
                else { return nil }
            }
            return try await OAuthApps.setParameters(id: locked.id, parameters, in: db)
        }
    }
}

extension Optional where Wrapped: Sendable {
    fileprivate func asyncFlatMap<T>(_ body: (Wrapped) async throws -> T?) async rethrows -> T? {
        guard let self else { return nil }
        return try await body(self)
    }
}
