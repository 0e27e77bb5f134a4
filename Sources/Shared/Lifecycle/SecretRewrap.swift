import Foundation
import Pacing
import Store
import Vault

/// Seals stored secrets anew under their environment's newest data key, so that an older one can be retired. Nothing is
/// sent anywhere and no attempt is marked: a refresh that commits meanwhile wins, and has sealed under the newest key.
package struct SecretRewrap: Sendable {
    package enum Result: Sendable, Equatable {
        /// So many values were sealed anew.
        case sealed(Int)
        /// Everything was under the newest key already.
        case current
        /// There is nothing sealed: it was deleted, or never had a secret.
        case empty
        /// A value is younger than `settles` and under an older key: not touched, see there.
        case issuedLately
    }

    private let services: LifecycleServices
    /// An answer's journal line is replayed for 15 minutes, and known by its sealed bytes: until then they stay.
    private let settles: Duration

    package init(_ services: LifecycleServices, settles: Duration = .seconds(15 * 60)) {
        self.services = services
        self.settles = settles
    }

    /// - Parameter subject: `connection`, `oauth_app` or `webhook_endpoint`.
    /// - Throws: `VaultError` when a value does not open: it is left as it is.
    package func rewrap(subject: String, id: Int64, environmentID: Int64) async throws -> Result {
        let places = try await places(subject, id, environmentID)
        guard !places.isEmpty else { return .empty }
        var count = 0
        var tooYoung = false
        for place in places {
            guard let anew = try await services.vault.rewrap(place.sealed, place.context) else { continue }
            if let issuedAt = place.issuedAt, -issuedAt.timeIntervalSinceNow < settles.seconds {
                tooYoung = true
                continue
            }
            let old = try CredentialVault.dataKeyID(of: place.sealed)
            if try await SealedPlaces.replace(place, with: anew, dataKeyID: old, in: services.pool) { count += 1 }
        }
        if count > 0 {
            try await Audit.record(
                environmentID: environmentID, actor: services.owner, action: "rewrap",
                connectionID: subject == "connection" ? id : nil, count: Int64(count),
                details: Array(#"{"subject":"\#(subject)"}"#.utf8), in: services.pool)
        }
        if tooYoung { return .issuedLately }
        return count > 0 ? .sealed(count) : .current
    }

    private func places(_ subject: String, _ id: Int64, _ environmentID: Int64) async throws -> [SealedPlace] {
        switch subject {
        case "oauth_app":
            try await SealedPlaces.ofOAuthApp(id: id, environmentID: environmentID, in: services.pool)
        case "webhook_endpoint":
            try await SealedPlaces.ofWebhookEndpoint(id: id, environmentID: environmentID, in: services.pool)
        default: try await SealedPlaces.ofConnection(id: id, environmentID: environmentID, in: services.pool)
        }
    }
}
