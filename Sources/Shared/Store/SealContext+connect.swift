import Vault

// Places of the sealed values in connect_sessions, authorization_requests and idempotency_keys.
extension SealContext {
    /// The grant of a reconnect that waits for its finish.
    package static func heldGrant(environmentID: Int64, sessionUID: String) -> SealContext {
        SealContext(purpose: "connect_session.grant", environmentID: environmentID, rowID: sessionUID, generation: 1)
    }

    /// An exchange's answer in the escrow journal, before its connection exists.
    package static func exchangeAnswer(environmentID: Int64, sessionUID: String) -> SealContext {
        SealContext(purpose: "connect_session.answer", environmentID: environmentID, rowID: sessionUID, generation: 1)
    }

    /// PKCE verifier and nonce of an authorization request.
    package static func authorizationRequest(environmentID: Int64, stateHash: [UInt8]) -> SealContext {
        SealContext(
            purpose: "authorization_request.secrets", environmentID: environmentID, rowID: Encoding.hex(stateHash),
            generation: 1)
    }

    /// The remembered answer of an idempotent call.
    package static func idempotentAnswer(environmentID: Int64, key: String) -> SealContext {
        SealContext(purpose: "idempotency.answer", environmentID: environmentID, rowID: key, generation: 1)
    }

    /// A ticket: an embedded session that has no row yet.
    package static func connectTicket(environmentID: Int64) -> SealContext {
        SealContext(purpose: "connect_session.ticket", environmentID: environmentID, rowID: "ticket", generation: 1)
    }
}
