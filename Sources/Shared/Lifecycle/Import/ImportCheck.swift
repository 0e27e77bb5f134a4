import Catalog
import Credentials
import Foundation
import Store

/// Turns rows into drafts, or says all that is wrong with them; never with a value of theirs, which may be a secret in
/// the wrong column.
package struct ImportCheck: Sendable {
    private let catalog: IntegrationCatalog
    private let settings: [String: IntegrationSettingsRecord]
    private let now: Date

    /// Columns, and what stands before a name in CSV (`parameter.domain`) where NDJSON has an object (`parameters`).
    package static let columns = [
        "external_id", "integration", "identity", "identity_type", "refresh_token", "access_token", "token_type",
        "expires_at", "refresh_expires_at", "scopes", "account_id", "account_label", "name", "tags", "metadata",
        "parameters", "fields", "tokens",
    ]
    private static let prefixes = ["parameter.": "parameters", "field.": "fields", "token.": "tokens"]

    package init(catalog: IntegrationCatalog, settings: [IntegrationSettingsRecord], now: Date = Date()) {
        self.catalog = catalog
        self.settings = Dictionary(settings.map { ($0.integration, $0) }, uniquingKeysWith: { first, _ in first })
        self.now = now
    }

    package func check(_ record: ImportRecord) -> Result<ImportDraft, ImportFaults> {
        if let fault = record.fault { return .failure(ImportFaults(faults: [fault])) }
        var row = ImportRow(record.cells, prefixes: Self.prefixes)
        row.refuseUnknown(Self.columns)
        let draft = draft(&row, line: record.line)
        guard let draft, row.faults.isEmpty else { return .failure(ImportFaults(faults: row.faults)) }
        return .success(draft)
    }

    private func draft(_ row: inout ImportRow, line: Int) -> ImportDraft? {
        let integration = integration(&row)
        let identity = identity(&row)
        let externalID = row.text("external_id", atMost: 200)
        let accountID = row.text("account_id", atMost: 200)
        let label = row.text("account_label", atMost: 200)
        let name = row.text("name", atMost: 200) ?? ""
        let tags = row.list("tags", separator: ";") ?? []
        if tags.count > 50 || tags.contains(where: { $0.isEmpty || $0.count > 100 }) {
            row.fault(
                "tags", "has more than 50 entries, or one that is empty or longer than 100 characters", "shorten it")
        }
        let metadata = row.object("metadata", atMost: 16 * 1024) ?? "{}"
        let scopes = row.list("scopes", separator: " ")
        let expires = row.moment("expires_at")
        let refreshExpires = row.moment("refresh_expires_at")
        guard let integration else { return nil }
        guard var tokens = tokens(&row, integration) else { return nil }
        let hasAccess = !tokens.accessToken.isEmpty
        if tokens.refreshToken != nil {
            // An access token of unknown age is not trusted: it is renewed before its first use.
            tokens.expiresAt = hasAccess ? expires ?? now : now
        } else {
            tokens.expiresAt = expires
        }
        tokens.refreshExpiresAt = refreshExpires
        tokens.scopes = scopes
        guard let identity, row.faults.isEmpty else { return nil }
        let provider = catalog.provider(of: integration)
        let facts = ImportFacts(
            integration: integration.id, provider: provider?.id ?? integration.id,
            app: settings[integration.id]?.oauthAppID, identityType: identity.type.rawValue, identity: identity.value,
            name: name, tags: tags, metadata: metadata,
            parameters: tokens.facts.filter { fact in integration.userParameters.contains { $0.name == fact.key } },
            accountID: accountID, accountLabel: label ?? accountID, expiresAt: tokens.expiresAt,
            refreshExpiresAt: refreshExpires, scopes: scopes, hasRefreshToken: tokens.refreshToken != nil,
            hasAccessToken: hasAccess)
        return ImportDraft(
            line: line, uid: .drawn(), externalID: externalID,
            accountKey: accountID.map { "\(integration.id)\n\(identity.description)\n\($0)" },
            rotatingToken: provider?.replay.replayClass.rotates == true ? tokens.refreshToken : nil, facts: facts,
            tokens: tokens)
    }

    private func integration(_ row: inout ImportRow) -> Integration? {
        guard let id = row.text("integration", atMost: 63) else {
            row.missing("integration", "name the integration's id, for example gmail")
            return nil
        }
        let integration: Integration
        do throws(InvalidValue) { integration = try catalog.integration(named: id) } catch {
            row.fault("integration", "is not in the catalog", error.repair)
            return nil
        }
        guard let own = settings[id], own.isEnabled else {
            row.fault("integration", "is not enabled in this environment", "enable it: PUT /v1/integrations/\(id)")
            return nil
        }
        if integration.providerID != nil, own.oauthAppID == nil {
            row.fault(
                "integration", "has no OAuth app in this environment",
                "set the app that the grants belong to: PUT /v1/integrations/\(id) with its client_id")
            return nil
        }
        return integration
    }

    private func identity(_ row: inout ImportRow) -> Identity? {
        let kind = row.text("identity_type", atMost: 40) ?? IdentityType.user.rawValue
        guard let type = IdentityType(rawValue: kind) else {
            let words = IdentityType.allCases.map(\.rawValue).joined(separator: ", ")
            row.fault("identity_type", "is not a type of identity", "use one of \(words)")
            return nil
        }
        guard let value = row.text("identity", atMost: 4 * Identity.maximumLength) else {
            row.missing("identity", "give the id of the owner in your app")
            return nil
        }
        do throws(InvalidValue) { return try Identity(type: type, value: value) } catch {
            row.fault("identity", error.problem, error.repair)
            return nil
        }
    }

    /// The token set, with expiry and scopes still open.
    private func tokens(_ row: inout ImportRow, _ integration: Integration) -> TokenSet? {
        guard let provider = catalog.provider(of: integration) else { return key(&row, integration) }
        if row.has("fields") { row.fault("fields", "is for integrations with an API key", "leave it empty") }
        let refresh = row.secret("refresh_token")
        let access = row.secret("access_token")
        if refresh == nil, access == nil, row.faults.isEmpty {
            row.fault("refresh_token", "is missing, and so is access_token", "give at least one of them")
        }
        let given = row.texts("parameters") ?? [:]
        var facts: [String: String] = [:]
        let typed = integration.userParameters.map(\.name)
        do throws(FormError) { facts = try integration.values(typed: given.filter { typed.contains($0.key) }) } catch {
            for fault in error.faults { row.fault("parameters.\(fault.item)", fault.problem, fault.repair) }
        }
        let answered = provider.facts + integration.facts
        for (name, value) in given.sorted(by: { $0.key < $1.key }) where !typed.contains(name) {
            guard let fact = answered.first(where: { $0.name == name }) else {
                row.fault("parameters", "has a name that \(integration.id) does not know", "leave it out")
                continue
            }
            do throws(InvalidValue) { facts[name] = try fact.kind.check(value, item: name) } catch {
                row.fault("parameters.\(name)", error.problem, error.repair)
            }
        }
        for fact in answered where fact.isRequired && facts[fact.name] == nil {
            row.fault("parameters.\(fact.name)", "is missing, and no call can be made without it", "give it")
        }
        var tokens = TokenSet(accessToken: access ?? Secret(""), refreshToken: refresh)
        if let type = row.text("token_type", atMost: 40) { tokens.tokenType = type }
        for (name, value) in row.texts("tokens") ?? [:] {
            guard provider.answer.furtherTokens[name] != nil else {
                row.fault("tokens", "has a name that \(provider.id) does not know", "leave it out")
                continue
            }
            tokens.furtherTokens[name] = Secret(value)
        }
        tokens.facts = facts
        return tokens
    }

    private func key(_ row: inout ImportRow, _ integration: Integration) -> TokenSet? {
        for column in ["refresh_token", "access_token", "tokens"] where row.has(column) {
            row.fault(column, "is for integrations with a consent", "put the key into fields (field.NAME in CSV)")
        }
        guard let fields = row.texts("fields") else {
            if !row.has("fields") {
                row.missing("fields", "give what the form of \(integration.id) asks for")
            }
            return nil
        }
        let form = fields.merging(row.texts("parameters") ?? [:]) { field, _ in field }
        do throws(FormError) { return try integration.credential(form: form) } catch {
            for fault in error.faults { row.fault("fields.\(fault.item.prefix(63))", fault.problem, fault.repair) }
            return nil
        }
    }
}

/// All that is wrong with one row.
package struct ImportFaults: Error, Sendable, Hashable {
    package let faults: [ImportFault]
}
