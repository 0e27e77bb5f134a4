import Catalog
import Credentials
import Foundation
import Logging
import OAuth
import Postgres
import Store
import Vault

/// A grant that nothing came of.
struct Stray: Sendable {
    enum Reason: String, Sendable {
        /// Its session asked for another account, or its connection is gone.
        case refused
        /// The app never finished the reconnect.
        case unfinished
    }

    var environmentID: Int64
    var integration: Integration
    var oauthAppID: Int64
    var tokens: TokenSet
    var accountID: String?
    var reason: Reason
}

extension ConnectFlow {
    /// Revokes a grant that nothing came of: at once, and again by ``sweepStrays()`` until the provider has confirmed.
    /// Left alone where that would end a living connection's grant.
    func giveBack(_ stray: Stray) async {
        do {
            guard try await sparesOthers(stray) else {
                return await note(stray, "kept: another connection lives on it")
            }
            let uid = "sg_" + SecureRandom.hex()
            let sealed = try await vault.seal(
                StrayPayload(stray).plaintext(), .strayGrant(environmentID: stray.environmentID, uid: uid))
            try await StrayGrants.insert(
                uid: uid, environmentID: stray.environmentID, oauthAppID: stray.oauthAppID,
                integration: stray.integration.id, reason: stray.reason.rawValue, sealed: sealed,
                delay: limits.claimLength, in: pool)
            if try await revoke(stray) { try await StrayGrants.remove(uid: uid, in: pool) }
        } catch {
            logger.error(
                "a grant that nothing came of could not be given back",
                metadata: ["integration": "\(stray.integration.id)", "error": "\(error)"])
        }
    }

    /// Makes strays of the held grants whose finish never came, and tries again what could not be revoked.
    func sweepStrays() async throws {
        for session in try await ConnectSessions.unfinishedReconnects(in: pool) {
            if let held = try await heldAnswer(session), let app = held.oauthAppID,
                let integration = catalog.integration(held.integration)
            {
                await giveBack(
                    Stray(
                        environmentID: session.environmentID, integration: integration, oauthAppID: app,
                        tokens: held.tokens, accountID: held.account?.id, reason: .unfinished))
            }
            try await ConnectSessions.dropHeldGrant(id: session.id, in: pool)
        }
        let due = try await StrayGrants.claimDue(
            limit: 50, claim: limits.claimLength, patience: limits.strayPatience, in: pool)
        for row in due {
            guard let integration = catalog.integration(row.integration) else { continue }
            let payload = try StrayPayload(
                plaintext: await vault.open(
                    row.sealed, .strayGrant(environmentID: row.environmentID, uid: row.uid)))
            let stray = Stray(
                environmentID: row.environmentID, integration: integration, oauthAppID: row.oauthAppID,
                tokens: try payload.tokens(), accountID: payload.account, reason: .refused)
            let isOver =
                if try await sparesOthers(stray) { try await revoke(stray) || row.isPatienceOver } else { true }
            if isOver { try await StrayGrants.remove(uid: row.uid, in: pool) }
        }
    }

    /// Whether revoking it ends no grant of a living connection. A token revoked alone spares the others only where each
    /// consent brings a token of its own, which is certain of those that rotate (Slack gives a workspace's token again).
    private func sparesOthers(_ stray: Stray) async throws -> Bool {
        guard let provider = catalog.provider(of: stray.integration), let kills = provider.revocation?.kills else {
            return false
        }
        if kills == .token, provider.replay.replayClass.rotates { return true }
        guard let account = stray.accountID else { return false }
        return try await AccountGrants.living(appID: stray.oauthAppID, accountID: account, in: pool) == 0
    }

    private func revoke(_ stray: Stray) async throws -> Bool {
        guard let provider = catalog.provider(of: stray.integration) else { return true }
        let app = try await oauthApp(id: stray.oauthAppID, integration: stray.integration)
        switch await oauth.revoke(stray.tokens, provider: provider, app: app, timeout: limits.exchangeTimeout) {
        case .success:
            await note(stray, "revoked")
            return true
        case .refused(let refusal) where refusal.verdict == .dead || refusal.verdict == .certainlyRevoked:
            await note(stray, "gone already")
            return true
        case .refused, .notSent, .ambiguous: return false
        }
    }

    private func note(_ stray: Stray, _ what: String) async {
        let details =
            #"{"integration":"\#(stray.integration.id)","reason":"\#(stray.reason.rawValue)","result":"\#(what)"}"#
        try? await Audit.record(
            environmentID: stray.environmentID, actor: "connect", action: "stray_grant", connectionID: nil,
            details: Array(details.utf8), in: pool)
    }
}

/// What is sealed of a stray grant.
private struct StrayPayload: Codable {
    let set: String
    let account: String?

    init(_ stray: Stray) throws {
        set = try stray.tokens.plaintext().revealedText()
        account = stray.accountID
    }

    init(plaintext: Secret) throws {
        self = try plaintext.withBytes { try JSONDecoder().decode(StrayPayload.self, from: Data($0)) }
    }

    func plaintext() throws -> Secret { Secret(try JSONEncoder().encode(self)) }

    func tokens() throws -> TokenSet { try TokenSet(plaintext: Secret(set)) }
}
