import Catalog
import Connect
import Credentials
import Foundation
import HTTPTypes
import Lifecycle
import Postgres
import Store
import Vault

/// The body of `PUT /v1/integrations/{id}`. What is left out stays as it is.
struct IntegrationChange: RequestFields {
    static let fields = [
        "enabled", "client_id", "client_secret", "scopes", "parameters", "title", "guide",
        "signing_secret", "validate_every",
    ]
    let enabled: Bool?
    let client_id: String?
    /// Write-only.
    let client_secret: String?
    let scopes: [String]?
    /// The operator's URL parameters, such as a self-hosted GitLab's host.
    let parameters: [String: String]?
    let title: String?
    let guide: String?
    /// Of inbound signals; write-only, an empty text forgets it.
    let signing_secret: String?
    /// Seconds between two probes of a connection; 0 for none, -1 for the catalog's.
    let validate_every: Int64?
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
        let signing = try await sealSigningSecret(change.signing_secret, app)
        let standard = services.lifecycle.validationRhythm(of: integration)
        return try await services.pool.transaction { db in
            let record = try await IntegrationSettings.put(
                environmentID: environmentID, integration: integration.id,
                isEnabled: change.enabled ?? before?.isEnabled ?? true, oauthAppID: appID,
                scopes: change.scopes ?? before?.scopes, display: display, in: db)
            if let signing, let appID {
                guard
                    try await SigningSecrets.set(
                        appID: appID, sealed: signing.sealed, version: signing.version, in: db)
                else {
                    throw HTTPProblem(
                        .conflict, "changed_meanwhile", "The signing secret is being changed by others.",
                        hint: "send it again")
                }
            }
            if let seconds = change.validate_every {
                try await Validations.setInterval(
                    environmentID: environmentID, integration: integration.id,
                    every: seconds < 0 ? nil : .seconds(seconds), standard: standard, in: db)
            }
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "configure_integration", connectionID: nil,
                details: Array(#"{"integration":"\#(integration.id)"}"#.utf8), in: db)
            guard change.validate_every != nil else { return record }
            return try await IntegrationSettings.find(
                environmentID: environmentID, integration: integration.id, in: db) ?? record
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
        if (change.signing_secret?.utf8.count ?? 0) > 8192 {
            throw .invalid("signing_secret", "is longer than 8192 bytes")
        }
        if change.signing_secret != nil {
            let scheme = services.catalog.provider(of: integration)?.inbound
            guard scheme == .slack || scheme == .github else {
                throw .invalid("signing_secret", "is not used by this integration")
            }
        }
        if let seconds = change.validate_every {
            guard seconds == 0 || seconds == -1 || (60...31_536_000).contains(seconds) else {
                throw .invalid("validate_every", "is none of 0, -1 and 60 to 31536000 seconds")
            }
            guard integration.probe != nil else {
                throw .invalid("validate_every", "needs a probe, which this integration does not have")
            }
        }
        if change.client_secret?.isEmpty == true { throw .invalid("client_secret", "is empty") }
        for scope in change.scopes ?? [] where scope.isEmpty || scope.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f })
        {
            throw .invalid("scopes", "holds an empty scope or one with white space")
        }
    }

    private func sealSigningSecret(
        _ text: String?, _ app: OAuthAppRecord?
    ) async throws -> (sealed: [UInt8]?, version: Int64)? {
        guard let text else { return nil }
        guard let app, let now = try await SigningSecrets.current(appID: app.id, in: services.pool) else {
            throw HTTPProblem.invalid("signing_secret", "needs an OAuth app; send client_id, too")
        }
        let version = now.version + 1
        guard !text.isEmpty else { return (nil, version) }
        let sealed = try await services.vault.seal(
            Secret(text), .signingSecret(environmentID: environmentID, appUID: app.uid, version: version))
        return (sealed, version)
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
