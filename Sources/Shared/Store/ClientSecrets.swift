import Credentials
import Logging
import Postgres
import Vault

/// The secret of an OAuth app beside its `client_secret`, sealed.
package struct OtherClientSecret: Sendable, Hashable {
    package enum Role: String, Sendable, Hashable {
        /// Waits to be promoted.
        case next
        /// Was replaced by a promotion; still tried until it is retired.
        case previous
    }

    package let sealed: [UInt8]
    package let version: Int64
    package let role: Role

    init?(sealed: [UInt8]?, version: Int64?, role: String?) {
        guard let sealed, let version, let role = role.flatMap(Role.init) else { return nil }
        self.sealed = sealed
        self.version = version
        self.role = role
    }
}

/// The one or two secrets of an OAuth app, in the order in which they are tried: first the one that the provider took
/// last, where it has ever refused one in favour of the other, else the current one.
package struct ClientSecrets: Sendable {
    private let environmentID: Int64
    private let appUID: String
    private var sealed: [(bytes: [UInt8], version: Int64)] = []

    package init(_ app: OAuthAppRecord) {
        environmentID = app.environmentID
        appUID = app.uid
        order(app.clientSecret, app.secretVersion, app.other, app.workingVersion)
    }

    package init(_ app: AppAtMark, environmentID: Int64) {
        self.environmentID = environmentID
        appUID = app.uid
        order(app.sealedSecret, app.secretVersion, app.other, app.workingVersion)
    }

    private mutating func order(
        _ current: [UInt8]?, _ version: Int64, _ other: OtherClientSecret?, _ working: Int64?
    ) {
        if let current { sealed.append((current, version)) }
        if let other { sealed.append((other.sealed, other.version)) }
        if sealed.count == 2, working == sealed[1].version { sealed.swapAt(0, 1) }
    }

    /// Opens them.
    /// - Returns: `first` nil for a public client.
    /// - Throws: `VaultError` when the first does not open; a second that does not open is left out, since the first
    ///   may well do.
    package func opened(by vault: CredentialVault) async throws -> (
        first: Secret?, second: (secret: Secret, version: Int64)?
    ) {
        guard let first = sealed.first else { return (nil, nil) }
        let opened = try await vault.open(first.bytes, context(first.version))
        guard sealed.count == 2, let second = try? await vault.open(sealed[1].bytes, context(sealed[1].version)) else {
            return (opened, nil)
        }
        return (opened, (second, sealed[1].version))
    }

    /// Remembers which version a provider took, so that the whole fleet tries it first. A failure is logged: the next
    /// refusal finds it out again.
    package static func remember(_ appID: Int64, works version: Int64, in pool: PostgresPool, logger: Logger) async {
        do { try await OAuthApps.setWorking(id: appID, version: version, in: pool) } catch {
            logger.warning(
                "could not remember which client secret works",
                metadata: ["oauth_app": "\(appID)", "version": "\(version)", "error": "\(error)"])
        }
    }

    private func context(_ version: Int64) -> SealContext {
        .clientSecret(environmentID: environmentID, appUID: appUID, version: version)
    }
}
