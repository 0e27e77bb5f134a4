import Foundation
import Postgres

/// One departure to a provider, waiting for its callback.
package struct AuthorizationRequestRecord: Sendable, Hashable {
    package let stateHash: [UInt8]
    package let sessionID: Int64
    package let environmentID: Int64
    package let integration: String
    package let oauthAppID: Int64
    package let redirectURI: String
    /// SHA-256 of the browser's cookie.
    package let browserHash: [UInt8]
    package let scopes: [String]
    /// What the user typed, checked.
    package let parameters: [String: String]
    /// PKCE verifier and nonce, sealed at `SealContext.authorizationRequest`.
    package let sealed: [UInt8]

    package init(
        stateHash: [UInt8], sessionID: Int64, environmentID: Int64, integration: String, oauthAppID: Int64,
        redirectURI: String, browserHash: [UInt8], scopes: [String], parameters: [String: String], sealed: [UInt8]
    ) {
        self.stateHash = stateHash
        self.sessionID = sessionID
        self.environmentID = environmentID
        self.integration = integration
        self.oauthAppID = oauthAppID
        self.redirectURI = redirectURI
        self.browserHash = browserHash
        self.scopes = scopes
        self.parameters = parameters
        self.sealed = sealed
    }
}

/// The rows of `evergrant.authorization_requests`.
package enum AuthorizationRequests {
    /// - Parameter life: how long the user may take at the provider.
    package static func insert(
        _ request: AuthorizationRequestRecord, life: Duration, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            Statements.insert,
            [
                .bytea(request.stateHash), .int8(request.sessionID), .int8(request.environmentID),
                .text(request.integration), .int8(request.oauthAppID), .text(request.redirectURI),
                .bytea(request.browserHash), .textArray(request.scopes), try .json(request.parameters),
                .bytea(request.sealed), .float8(Double(life.components.seconds)),
            ])
    }

    /// Spends the state: one of two racing callbacks gets the row, and nobody gets it twice.
    /// - Returns: nil for a state that is unknown, spent or expired.
    package static func consume(
        stateHash: [UInt8], in db: any PostgresQuerying
    ) async throws -> AuthorizationRequestRecord? {
        guard let row = try await db.execute(Statements.consume, [.bytea(stateHash)]).first else { return nil }
        let (record, isExpired) = try AuthorizationRequestRecord.decode(row)
        return isExpired ? nil : record
    }

    /// Removes requests that ended; at most `limit` at once.
    package static func prune(limit: Int = 1000, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(Statements.prune, [.int4(Int32(limit))]).affected
    }

    private enum Statements {
        static let insert = PostgresStatement(
            "insert authorization request",
            """
            insert into evergrant.authorization_requests (state_hash, session_id, environment_id, integration,
                oauth_app_id, redirect_uri, browser_hash, scopes, parameters, sealed, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + make_interval(secs => $11))
            """)
        // Unique index on state_hash; the row's lock makes the second of two wait and find nothing.
        static let consume = PostgresStatement(
            "consume authorization request",
            """
            delete from evergrant.authorization_requests where state_hash = $1
            returning state_hash, session_id, environment_id, integration, oauth_app_id, redirect_uri, browser_hash,
                scopes, parameters, sealed, expires_at <= now()
            """)
        static let prune = PostgresStatement(
            "prune authorization requests",
            """
            delete from evergrant.authorization_requests where id in (
                select id from evergrant.authorization_requests where expires_at < now()
                order by expires_at limit $1 for update skip locked)
            """)
    }
}

extension AuthorizationRequestRecord {
    fileprivate static func decode(_ row: PostgresRow) throws -> (Self, isExpired: Bool) {
        let (hash, session, environment, integration, app, uri, browser, scopes, parameters, sealed, isExpired) =
            try row.decode(
                [UInt8].self, Int64.self, Int64.self, String.self, Int64.self, String.self, [UInt8].self, [String].self,
                [UInt8].self, [UInt8].self, Bool.self)
        let record = AuthorizationRequestRecord(
            stateHash: hash, sessionID: session, environmentID: environment, integration: integration, oauthAppID: app,
            redirectURI: uri, browserHash: browser, scopes: scopes,
            parameters: try JSONDecoder().decode([String: String].self, from: Data(parameters)), sealed: sealed)
        return (record, isExpired)
    }
}
