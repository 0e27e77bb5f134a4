import Catalog
import Credentials
import Foundation
import Postgres
import Store
import Vault

extension ConnectFlow {
    /// Makes a session for one identity.
    /// - Parameter actor: `key:<uid>` or `cli`, for the audit.
    /// - Throws: ``InvalidValue`` or ``ConnectError`` that says what the app must change.
    package func mint(
        _ request: SessionRequest, environment: EnvironmentRecord, actor: String
    ) async throws -> MintedSession {
        let connection = try await connectionToReconnect(request, environment: environment)
        var integrations = request.integrations
        if let connection { integrations = [connection.integration] }
        try await checkOffered(integrations, environment: environment)
        if request.kind == .embedded, environment.embeddingOrigins.isEmpty {
            throw InvalidValue(
                item: "kind", problem: "is embedded, but this environment lists no page that may embed the window",
                repair: "add your page's origin to embedding_origins with PATCH /v1/environment")
        }
        let requiresFinish = request.requiresFinish ?? environment.requireFinish ?? (request.kind == .link)
        if requiresFinish, request.redirectURL == nil {
            throw InvalidValue(
                item: "redirect_url", problem: "is missing, but the finish code is delivered there",
                repair: "send a redirect_url of a listed origin, or require_finish: false if you accept the risk")
        }
        if let url = request.redirectURL { try check(redirectURL: url, environment: environment) }
        let life = request.life ?? limits.sessionLife
        guard life >= .seconds(60), life <= limits.longestSessionLife else {
            throw InvalidValue(
                item: "expires_in", problem: "is \(life.components.seconds) seconds",
                repair: "send 60 to \(limits.longestSessionLife.components.seconds)")
        }
        let token = SecureRandom.token()
        let new = NewConnectSession(
            environmentID: environment.id, kind: request.kind, tokenHash: Digest.sha256(token),
            identity: request.identity,
            integrations: integrations, connectionID: connection?.id, allowsOtherAccount: request.allowsOtherAccount,
            name: request.name, tags: request.tags, metadata: request.metadata, redirectURL: request.redirectURL,
            requiresFinish: requiresFinish, life: life, createdBy: actor,
            waivesFinish: (request.requiresFinish ?? environment.requireFinish) == false)
        let session = try await ConnectSessions.insert(new, in: pool)
        return MintedSession(
            session: session, token: Secret(token),
            connectURL: request.kind == .link ? Secret("\(publicURL)/connect#\(token)") : nil)
    }

    private func connectionToReconnect(
        _ request: SessionRequest, environment: EnvironmentRecord
    ) async throws -> ConnectionRecord? {
        guard let uid = request.connection else { return nil }
        guard let found = try await Connections.find(uid: uid, environmentID: environment.id, in: pool),
            found.identity == request.identity, found.state != .revoking, found.state != .revoked
        else {
            // Another identity's connection is answered like one that does not exist.
            throw ConnectError(.connectionGone, hint: "send the id of a connection that this identity owns")
        }
        return found
    }

    private func checkOffered(_ integrations: [String]?, environment: EnvironmentRecord) async throws {
        guard let integrations else { return }
        guard !integrations.isEmpty else {
            throw InvalidValue(
                item: "integrations", problem: "is an empty list", repair: "leave it out to offer all that are enabled")
        }
        let settings = try await IntegrationSettings.list(environmentID: environment.id, in: pool)
        for id in integrations {
            let integration = try catalog.integration(named: id)
            guard let own = settings.first(where: { $0.integration == id }), own.isEnabled else {
                throw ConnectError(.notEnabled, integration: integration.title, field: "integrations")
            }
            guard OfferedIntegration(integration: integration, settings: own).isReady else {
                throw ConnectError(.setupRequired, integration: integration.title, field: "integrations")
            }
        }
    }

    private func check(redirectURL: String, environment: EnvironmentRecord) throws {
        let origin = try WebOrigin(of: redirectURL, item: "redirect_url")
        guard !redirectURL.contains("#") else {
            throw InvalidValue(item: "redirect_url", problem: "has a fragment", repair: "remove what stands after #")
        }
        guard redirectURL.utf8.count <= 2048 else {
            throw InvalidValue(item: "redirect_url", problem: "is longer than 2048 bytes", repair: "shorten it")
        }
        guard environment.redirectOrigins.contains(origin.description) else {
            throw InvalidValue(
                item: "redirect_url", problem: "is of origin \(origin), which this environment does not list",
                repair: "add it to redirect_origins with PATCH /v1/environment")
        }
    }
}
