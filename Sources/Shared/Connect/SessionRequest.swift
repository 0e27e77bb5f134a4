import Catalog
import Credentials
import Foundation
import Store

/// What an app asks for with `POST /v1/sessions`.
package struct SessionRequest: Sendable {
    package var identity: Identity
    /// A link, or a window inside the app's own page.
    package var kind = ConnectSessionKind.link
    /// nil: all that the environment enables.
    package var integrations: [String]?
    /// The connection to reconnect, by its uid.
    package var connection: UUID?
    package var allowsOtherAccount = false
    package var name = ""
    package var tags: [String] = []
    /// JSON object.
    package var metadata: [UInt8] = Array("{}".utf8)
    package var redirectURL: String?
    /// nil: as the environment says, else true for links and false for embedded sessions.
    package var requiresFinish: Bool?
    /// nil: ``ConnectLimits/sessionLife``.
    package var life: Duration?

    package init(identity: Identity) { self.identity = identity }
}

/// A session and the only copy of its token.
package struct MintedSession: Sendable {
    package let session: ConnectSessionRecord
    package let token: Secret
    /// `…/connect#<token>`; nil for an embedded session, which opens in a frame only.
    package let connectURL: Secret?
}

/// One line of the connect window: an integration of the catalog that the environment offers.
package struct OfferedIntegration: Sendable {
    package let integration: Integration
    package let settings: IntegrationSettingsRecord

    /// As the operator named it, or the catalog.
    package var title: String { settings.display.title ?? integration.title }
    package var guide: String { settings.display.guide ?? integration.guide }

    /// Whether a user can connect it: an OAuth integration needs its app.
    package var isReady: Bool { integration.providerID == nil || settings.oauthAppID != nil }
}
