import Catalog
import Credentials
import Escrow
import Foundation
import Logging
import OAuth
import Postgres
import Store
import Vault

/// Everything between `POST /v1/sessions` and a connection: minting, opening, leaving for the provider, coming back,
/// API keys, and the app's finish. It knows no HTTP; the front gives it tokens, cookies and queries as values.
///
/// A session is claimed, by compare-and-set, *before* a code is redeemed: at providers where only the newest grant
/// lives, a loser that redeemed its code would kill the winner's grant. The answer of an exchange goes into the escrow
/// journal before the commit. Session, connection, event and audit line commit together.
package struct ConnectFlow: Sendable {
    package let pool: PostgresPool
    package let vault: CredentialVault
    package let catalog: IntegrationCatalog
    package let oauth: OAuthClient
    /// Keeps an exchange's answer until its commit; nil only where the operator said `--no-escrow`.
    package let journal: EscrowJournal?
    /// Origin and path prefix under which browsers reach the public listener, without trailing slash.
    package let publicURL: String
    package let limits: ConnectLimits
    package let logger: Logger

    package init(
        pool: PostgresPool, vault: CredentialVault, catalog: IntegrationCatalog, oauth: OAuthClient,
        journal: EscrowJournal?, publicURL: String, limits: ConnectLimits = ConnectLimits(), logger: Logger
    ) {
        self.pool = pool
        self.vault = vault
        self.catalog = catalog
        self.oauth = oauth
        self.journal = journal
        self.publicURL = publicURL
        self.limits = limits
        self.logger = logger
    }

    /// The redirect URI to register with the provider: one for each integration, against mix-up (RFC 9700 §4.4.2).
    package func redirectURI(of integration: String) -> String { "\(publicURL)/oauth/callback/\(integration)" }
}

/// How long things may take, in connecting.
package struct ConnectLimits: Sendable, Hashable {
    /// Life of a session that does not say. Default 30 minutes.
    package var sessionLife: Duration = .seconds(30 * 60)
    /// Longest life a session may ask for. Default 7 days.
    package var longestSessionLife: Duration = .seconds(7 * 86_400)
    /// How long a user may take at the provider. Default 15 minutes.
    package var authorizationLife: Duration = .seconds(15 * 60)
    /// Length of a claim: longer than one exchange and its probes. Default 2 minutes.
    package var claimLength: Duration = .seconds(120)
    /// Life of a finish code. Default 15 minutes.
    package var finishLife: Duration = .seconds(15 * 60)
    /// Longest wait for a token answer. Default 30 s.
    package var exchangeTimeout: Duration = .seconds(30)
    /// Longest wait for a probe. Default 15 s.
    package var probeTimeout: Duration = .seconds(15)
    /// How long a grant that nothing came of is tried to be revoked. Default 7 days.
    package var strayPatience: Duration = .seconds(7 * 86_400)
    /// How often a credential is probed. Default 24 hours.
    package var validateEvery: Duration = .seconds(86_400)
    /// Tiers, keep-alive and warnings.
    package var planning = PlanningRules()

    package init() {}
}

/// A browser that holds a session: the hash of its cookie.
package struct BrowserBinding: Sendable, Hashable {
    package let hash: [UInt8]

    /// - Parameter cookie: 256 random bits in base64url.
    package init(cookie: Secret) { hash = Digest.sha256(cookie) }
}
