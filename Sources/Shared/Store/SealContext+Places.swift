import Foundation
import Vault

/// The places where sealed values stand. A value opens only in the place it was sealed for.
extension SealContext {
    /// `credentials.sealed` of a connection at one generation.
    package static func connectionTokens(environmentID: Int64, uid: UUID, generation: Int64) -> SealContext {
        SealContext(
            purpose: "connection.tokens", environmentID: environmentID, rowID: uid.uuidString.lowercased(),
            generation: generation)
    }

    /// `alternates.sealed`: an answer to `generation` that lost its compare-and-set.
    package static func alternateTokens(environmentID: Int64, uid: UUID, nonce: UUID) -> SealContext {
        SealContext(
            purpose: "connection.alternate", environmentID: environmentID,
            rowID: uid.uuidString.lowercased() + "/" + nonce.uuidString.lowercased(), generation: 0)
    }

    /// An answer in the escrow journal, between the provider and the commit.
    package static func escrowedTokens(environmentID: Int64, uid: UUID, nonce: UUID) -> SealContext {
        SealContext(
            purpose: "escrow.tokens", environmentID: environmentID,
            rowID: uid.uuidString.lowercased() + "/" + nonce.uuidString.lowercased(), generation: 0)
    }

    /// `oauth_apps.client_secret` at one version.
    package static func clientSecret(environmentID: Int64, appUID: String, version: Int64) -> SealContext {
        SealContext(
            purpose: "oauth_app.client_secret", environmentID: environmentID, rowID: appUID, generation: version)
    }

    /// `webhook_endpoints.secret` at one version.
    package static func webhookSecret(environmentID: Int64, endpointUID: String, version: Int64) -> SealContext {
        SealContext(
            purpose: "webhook_endpoint.secret", environmentID: environmentID, rowID: endpointUID, generation: version)
    }
}
