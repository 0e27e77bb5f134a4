import Credentials
import Foundation
import Logging
import Postgres
import Store
import Vault

// A ticket is the right to one embedded session that has no row yet: what the token endpoint of the public AuthKit packages
// answers as `requestId`. A client asks for the list page by page, and keeps the id of the last page alone; so every page has
// an id, and only the one that is used becomes a session. It is sealed by the environment's data key: nobody else can make
// one, and nothing can be read off it.
extension ConnectFlow {
    private struct Ticket: Codable {
        var type: String
        var identity: String
        var name: String
        var tags: [String]
        /// Seconds since 1970.
        var end: Double
        var random: String
        var actor: String
    }

    /// A ticket for one identity, good for ``ConnectLimits/sessionLife`` from now.
    package func ticket(
        for identity: Identity, name: String, tags: [String], environmentID: Int64, actor: String
    ) async throws -> Secret {
        let ticket = Ticket(
            type: identity.type.rawValue, identity: identity.value, name: name, tags: tags,
            end: Date().timeIntervalSince1970 + Double(limits.sessionLife.components.seconds),
            random: SecureRandom.token(), actor: actor)
        let sealed = try await vault.seal(
            Secret(try JSONEncoder().encode(ticket)), .connectTicket(environmentID: environmentID))
        return Secret("egt_\(environmentID)_\(Encoding.base64url(sealed))")
    }

    /// The session of a ticket, made at its first use; nil when `token` is none of ours.
    /// - Throws: ``ConnectError`` `session_expired` for one that has ended.
    func redeemTicket(_ token: Secret) async throws -> ConnectSessionRecord? {
        guard let (environmentID, sealed) = token.withTicket(),
            let environment = try await Environments.find(id: environmentID, in: pool)
        else { return nil }
        let ticket: Ticket
        do {
            let opened = try await vault.open(
                sealed, .connectTicket(environmentID: environmentID), isFromOutside: true)
            ticket = try opened.withBytes { try JSONDecoder().decode(Ticket.self, from: Data($0)) }
        } catch let error as VaultError {
            // Altered, or sealed for something else: no session of ours.
            logger.info("connect ticket refused", metadata: ["error": "\(error)"])
            return nil
        }
        let left = ticket.end - Date().timeIntervalSince1970
        guard left >= 1 else { throw ConnectError(.sessionExpired) }
        let new = NewConnectSession(
            environmentID: environmentID, kind: .embedded, tokenHash: Digest.sha256(token),
            identity: try Identity(type: IdentityType(parsing: ticket.type), value: ticket.identity),
            integrations: nil, connectionID: nil, allowsOtherAccount: false, name: ticket.name, tags: ticket.tags,
            metadata: Array("{}".utf8), redirectURL: nil,
            // The packages know no finish: the window stands in a listed page, and tells its own page the outcome.
            requiresFinish: false, life: .seconds(left), createdBy: ticket.actor,
            waivesFinish: environment.requireFinish == false)
        if let made = try await ConnectSessions.insertOnce(new, in: pool) { return made }
        return try await ConnectSessions.find(tokenHash: Digest.sha256(token), in: pool)
    }
}

extension Secret {
    fileprivate func withTicket() -> (environmentID: Int64, sealed: [UInt8])? {
        let text = revealedText()
        guard text.hasPrefix("egt_"), text.utf8.count <= 8192 else { return nil }
        let parts = text.dropFirst(4).split(separator: "_", maxSplits: 1)
        guard parts.count == 2, let environment = Int64(parts[0]), let sealed = Encoding.bytes(base64url: parts[1])
        else { return nil }
        return (environment, sealed)
    }
}
