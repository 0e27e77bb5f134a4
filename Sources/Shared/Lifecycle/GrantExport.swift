import Catalog
import Credentials
import Foundation
import Logging
import Postgres
import Store
import Vault

/// Which connections leave; every part that is set narrows it.
package struct ExportSelection: Codable, Sendable, Hashable {
    package var integration: String?
    package var identityType: IdentityType?
    package var identity: String?
    package var state: ConnectionState?
    package var tag: String?

    package init() {}
}

/// Moving out: living grants as rows of an import, encrypted to the operator's own key on the way, page by page.
///
/// Whoever imports them elsewhere must be the only one to refresh them: two owners of a grant that rotates end it.
package struct GrantExport: Sendable {
    private let services: LifecycleServices

    private static let page = 100

    package init(_ services: LifecycleServices) { self.services = services }

    /// Writes the audit's first line, before anything leaves, then everything, then how much it was.
    /// - Parameter write: is handed the encrypted bytes, in order.
    /// - Returns: how many connections left.
    package func run(
        _ selection: ExportSelection, recipients: [AgeRecipient], environmentID: Int64, actor: String,
        write: ([UInt8]) async throws -> Void
    ) async throws -> Int {
        var writer = try AgeWriter(recipients: recipients)
        try await audit("export", selection, recipients, 0, environmentID: environmentID, actor: actor)
        var filter = ConnectionFilter(environmentID: environmentID, limit: Self.page)
        filter.integration = selection.integration
        filter.identity = selection.identity
        filter.identityType = selection.identityType
        filter.state = selection.state
        filter.tag = selection.tag
        var count = 0
        while true {
            let page = try await Connections.list(filter, in: services.pool)
            let names = try await ExternalIDs.names(of: page.rows.map(\.id), in: services.pool)
            for record in page.rows {
                guard let line = try await line(record, externalID: names[record.id]) else { continue }
                count += 1
                let sealed = try writer.append(line.revealed())
                if !sealed.isEmpty { try await write(sealed) }
            }
            guard page.rows.count == Self.page, let last = page.rows.last else { break }
            filter.after = last.id
        }
        try await write(try writer.finish())
        try await audit("export_done", selection, recipients, count, environmentID: environmentID, actor: actor)
        return count
    }

    /// A row of an import; nil for a connection that holds no grant any more.
    private func line(_ record: ConnectionRecord, externalID: String?) async throws -> Secret? {
        switch record.state {
        case .active, .degraded, .suspected, .broken: break
        case .pending, .revoking, .revoked: return nil
        }
        guard
            let (now, sealed) = try await Connections.findWithCredential(
                uid: record.uid, environmentID: record.environmentID, in: services.pool), let sealed
        else { return nil }
        let tokens = try TokenSet(
            plaintext: await services.vault.open(
                sealed,
                .connectionTokens(
                    environmentID: record.environmentID, uid: record.uid, generation: now.generation)))
        var row: [String: Any] = [
            "integration": record.integration, "identity": record.identity.value,
            "identity_type": record.identity.type.rawValue, "external_id": externalID ?? record.publicID,
        ]
        if !record.name.isEmpty { row["name"] = record.name }
        if !record.tags.isEmpty { row["tags"] = record.tags }
        row["account_id"] = record.accountID
        row["account_label"] = record.accountLabel
        row["scopes"] = record.grantedScopes
        row["refresh_expires_at"] = record.endsAt?.formatted(.iso8601)
        if let document = try JSONSerialization.jsonObject(with: Data(record.document)) as? [String: Any],
            let metadata = document["metadata"] as? [String: Any], !metadata.isEmpty
        {
            row["metadata"] = metadata
        }
        let integration = services.catalog.integration(record.integration)
        if case .apiKey(let form)? = integration?.method {
            var fields = tokens.facts
            for (name, secret) in tokens.furtherTokens { fields[name] = secret.revealedText() }
            fields[form.key] = tokens.accessToken.revealedText()
            row["fields"] = fields
        } else {
            row["refresh_token"] = tokens.refreshToken?.revealedText()
            if !tokens.accessToken.isEmpty {
                row["access_token"] = tokens.accessToken.revealedText()
                row["expires_at"] = now.accessExpiresAt?.formatted(.iso8601)
            }
            row["token_type"] = tokens.tokenType
            if !tokens.facts.isEmpty { row["parameters"] = tokens.facts }
            if !tokens.furtherTokens.isEmpty { row["tokens"] = tokens.furtherTokens.mapValues { $0.revealedText() } }
        }
        let json = try JSONSerialization.data(withJSONObject: row, options: [.sortedKeys, .withoutEscapingSlashes])
        return Secret(Array(json) + [UInt8(ascii: "\n")])
    }

    private func audit(
        _ action: String, _ selection: ExportSelection, _ recipients: [AgeRecipient], _ count: Int,
        environmentID: Int64, actor: String
    ) async throws {
        struct Details: Encodable {
            let recipients: [String]
            let integration: String?
            let state: String?
            /// Whether it was one identity's; whose stands nowhere in the audit.
            let ofOneIdentity: Bool
            let connections: Int
        }
        let details = Details(
            recipients: recipients.map(\.description), integration: selection.integration,
            state: selection.state?.rawValue, ofOneIdentity: selection.identity != nil, connections: count)
        try await Audit.record(
            environmentID: environmentID, actor: actor, action: action, connectionID: nil,
            count: Int64(max(1, count)), details: Array(try JSONEncoder().encode(details)), in: services.pool)
    }
}
