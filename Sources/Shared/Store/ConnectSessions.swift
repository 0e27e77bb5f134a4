import Credentials
import Foundation
import Postgres

/// Where a connect session stands. Who moves it on: `docs/architecture.md`, and migration 0003.
package enum ConnectSessionState: String, Sendable, Hashable {
    /// Made by the app; nobody has traded its token.
    case minted
    /// A browser holds it. A failed or refused attempt comes back here.
    case opened
    /// The browser has left for a provider.
    case authorizing
    /// Claimed: one code is being redeemed, or one key tested.
    case exchanging
    /// A connection came of it.
    case finished
}

/// How a session reaches its user.
package enum ConnectSessionKind: String, Sendable, Hashable {
    /// By a link whose fragment carries the token.
    case link
    /// In a frame of the app's own page.
    case embedded
}

/// The right to link one account to one identity, once.
package struct ConnectSessionRecord: Sendable, Hashable {
    package let id: Int64
    /// `cs_<32 hex>`. No secret: a page also needs the browser's cookie, an app its API key.
    package let uid: String
    package let environmentID: Int64
    package let kind: ConnectSessionKind
    package let identity: Identity
    /// nil: all that the environment enables.
    package let integrations: [String]?
    /// The connection to reconnect.
    package let connectionID: Int64?
    package let allowsOtherAccount: Bool
    package let name: String
    package let tags: [String]
    /// JSON object.
    package let metadata: [UInt8]
    package let redirectURL: String?
    package let requiresFinish: Bool
    package let state: ConnectSessionState
    /// SHA-256 of the cookies of browsers that traded the token.
    package let browsers: [[UInt8]]
    package let finishedBrowser: [UInt8]?
    package let finishedConnectionID: Int64?
    package let confirmedAt: Date?
    package let heldGrant: [UInt8]?
    package let heldFacts: [UInt8]?
    package let createdAt: Date
    package let expiresAt: Date
    /// By the database's clock, when the row was read.
    package let isExpired: Bool
    /// The app has said that no finish is needed, wherever the session is opened.
    package let waivesFinish: Bool
    /// How often a browser has left for a provider.
    package let departures: Int
    /// Of an embedded session: what became of its last attempt, until the next one.
    package let failure: ConnectFailure?
}

/// What the frame of an embedded session is told about an attempt that failed in another window.
package struct ConnectFailure: Sendable, Hashable, Codable {
    /// The code of a connect error.
    package let code: String
    /// The integration's title.
    package let integration: String?
    /// The number of the departure that it ended.
    package let departure: Int
}

/// What `POST /v1/sessions` asks for, checked.
package struct NewConnectSession: Sendable {
    package var environmentID: Int64
    package var kind: ConnectSessionKind
    package var tokenHash: [UInt8]
    package var identity: Identity
    package var integrations: [String]?
    package var connectionID: Int64?
    package var allowsOtherAccount: Bool
    package var name: String
    package var tags: [String]
    package var metadata: [UInt8]
    package var redirectURL: String?
    package var requiresFinish: Bool
    package var life: Duration
    /// `key:<uid>` or `cli`.
    package var createdBy: String
    /// The app, or its environment, has said that no finish is needed.
    package var waivesFinish: Bool

    package init(
        environmentID: Int64, kind: ConnectSessionKind, tokenHash: [UInt8], identity: Identity, integrations: [String]?,
        connectionID: Int64?, allowsOtherAccount: Bool, name: String, tags: [String], metadata: [UInt8],
        redirectURL: String?, requiresFinish: Bool, life: Duration, createdBy: String, waivesFinish: Bool = false
    ) {
        self.environmentID = environmentID
        self.kind = kind
        self.tokenHash = tokenHash
        self.identity = identity
        self.integrations = integrations
        self.connectionID = connectionID
        self.allowsOtherAccount = allowsOtherAccount
        self.name = name
        self.tags = tags
        self.metadata = metadata
        self.redirectURL = redirectURL
        self.requiresFinish = requiresFinish
        self.life = life
        self.createdBy = createdBy
        self.waivesFinish = waivesFinish
    }
}

/// The rows of `evergrant.connect_sessions`: every move is one compare-and-set.
package enum ConnectSessions {
    /// Browsers that may hold one session at a time: enough for a person's devices, too few to collect.
    package static let maximumBrowsers = 8

    package static func insert(
        _ new: NewConnectSession, in db: any PostgresQuerying
    ) async throws -> ConnectSessionRecord {
        guard let made = try await insertOnce(new, in: db) else { throw MissingRow(statement: Statements.insert.name) }
        return made
    }

    /// - Returns: nil when a session of this token is there already.
    package static func insertOnce(
        _ new: NewConnectSession, in db: any PostgresQuerying
    ) async throws -> ConnectSessionRecord? {
        try await db.execute(
            Statements.insert,
            [
                .int8(new.environmentID), .text(new.kind.rawValue), .bytea(new.tokenHash),
                .text(new.identity.type.rawValue), .text(new.identity.value),
                .optional(new.integrations) { .textArray($0) }, .optional(new.connectionID) { .int8($0) },
                .bool(new.allowsOtherAccount), .text(new.name), .textArray(new.tags), .jsonb(new.metadata),
                .optional(new.redirectURL) { .text($0) }, .bool(new.requiresFinish),
                .float8(Double(new.life.components.seconds)), .text(new.createdBy), .bool(new.waivesFinish),
            ]
        ).first.map(ConnectSessionRecord.init)
    }

    package static func find(tokenHash: [UInt8], in db: any PostgresQuerying) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.findByToken, [.bytea(tokenHash)]).first.map(ConnectSessionRecord.init)
    }

    package static func find(uid: String, in db: any PostgresQuerying) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.findByUID, [.text(uid)]).first.map(ConnectSessionRecord.init)
    }

    package static func find(id: Int64, in db: any PostgresQuerying) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.findByID, [.int8(id)]).first.map(ConnectSessionRecord.init)
    }

    /// Gives the session to one more browser.
    /// - Returns: nil when it is expired or finished, or when ``maximumBrowsers`` hold it.
    package static func open(
        id: Int64, browser: [UInt8], in db: any PostgresQuerying
    ) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.open, [.int8(id), .bytea(browser), .int4(Int32(maximumBrowsers))])
            .first.map(ConnectSessionRecord.init)
    }

    /// An embedded session's frame has its token. A frame is no browser of its own: it may load again and again.
    /// - Parameter parent: the origin of the page around it; nil leaves what is known.
    /// - Returns: nil when the session is a link's, expired or finished.
    package static func openFrame(
        id: Int64, parent: String?, in db: any PostgresQuerying
    ) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.openFrame, [.int8(id), .optional(parent) { .text($0) }])
            .first.map(ConnectSessionRecord.init)
    }

    /// An embedded session goes on in the whole window: it returns to `url`, and needs a finish unless that was waived.
    package static func leaveFrame(
        id: Int64, returningTo url: String, in db: any PostgresQuerying
    ) async throws -> ConnectSessionRecord? {
        try await db.execute(Statements.leaveFrame, [.int8(id), .text(url)]).first.map(ConnectSessionRecord.init)
    }

    /// What the user calls the connection.
    package static func setName(id: Int64, _ name: String, in db: any PostgresQuerying) async throws {
        try await db.execute(Statements.setName, [.int8(id), .text(name)])
    }

    /// Keeps why an attempt failed, for the frame that waits for it. Does nothing to links and finished sessions.
    package static func fail(
        id: Int64, code: String, integration: String?, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            Statements.fail, [.int8(id), .text(code), .optional(integration) { .text($0) }])
    }

    /// The browser leaves for a provider.
    /// - Returns: false when the session is expired, finished or being exchanged.
    package static func depart(id: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(Statements.depart, [.int8(id)]).affected == 1
    }

    /// Claims the session for one exchange, before the code is redeemed. A claim whose deadline has passed may be
    /// taken over.
    /// - Returns: false for the loser, whose code must not be redeemed.
    package static func claim(
        id: Int64, nonce: UUID, for length: Duration, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            Statements.claim, [.int8(id), .uuid(nonce), .float8(Double(length.components.seconds))]
        ).affected == 1
    }

    /// Ends a claim without a connection: the user may try again.
    package static func release(id: Int64, nonce: UUID, in db: any PostgresQuerying) async throws {
        try await db.execute(Statements.release, [.int8(id), .uuid(nonce)])
    }

    /// A connection came of it. The caller's transaction aborts on false.
    /// - Parameters:
    ///   - nonce: of the claim. A late answer out of the journal may finish a session that nobody else has claimed
    ///     since (`late`).
    ///   - finishHash: SHA-256 of the finish code, where the app must confirm; nil: confirmed at once.
    package static func finish(
        id: Int64, nonce: UUID, late: Bool, browser: [UInt8]?, connectionID: Int64, finishHash: [UInt8]?,
        requiresFinish: Bool, finishLife: Duration, heldGrant: [UInt8]?, heldFacts: [UInt8]?,
        in transaction: any PostgresQuerying
    ) async throws -> Bool {
        try await transaction.execute(
            Statements.finish,
            [
                .int8(id), .uuid(nonce), .bool(late), .optional(browser) { .bytea($0) }, .int8(connectionID),
                .optional(finishHash) { .bytea($0) }, .bool(requiresFinish),
                .float8(Double(finishLife.components.seconds)), .optional(heldGrant) { .bytea($0) },
                .optional(heldFacts) { .jsonb($0) },
            ]
        ).affected == 1
    }

    /// A new finish code for the browser that consented, when its first answer was lost. The code before it ends.
    package static func replaceFinishCode(
        id: Int64, browser: [UInt8], finishHash: [UInt8], life: Duration, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            Statements.replaceFinishCode,
            [.int8(id), .bytea(browser), .bytea(finishHash), .float8(Double(life.components.seconds))]
        ).affected == 1
    }

    /// Spends the finish code: one of two racing calls gets the row.
    /// - Returns: nil when the code is wrong, spent or expired, or the identity is another's.
    package static func confirm(
        uid: String, environmentID: Int64, finishHash: [UInt8], identity: Identity,
        in transaction: any PostgresQuerying
    ) async throws -> ConnectSessionRecord? {
        try await transaction.execute(
            Statements.confirm,
            [
                .text(uid), .int8(environmentID), .bytea(finishHash), .text(identity.type.rawValue),
                .text(identity.value),
            ]
        ).first.map(ConnectSessionRecord.init)
    }

    /// Forgets the sealed grant of a reconnect that was confirmed or given up.
    package static func dropHeldGrant(id: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(Statements.dropHeldGrant, [.int8(id)])
    }

    /// Removes sessions that ended more than `keep` ago, at most `limit` at once; their requests go with them.
    /// - Returns: how many went.
    package static func prune(
        olderThan keep: Duration, limit: Int = 1000, in db: any PostgresQuerying
    ) async throws -> Int {
        try await db.execute(
            Statements.prune, [.float8(Double(keep.components.seconds)), .int4(Int32(limit))]
        ).affected
    }

    /// Sessions that hold the new grant of a reconnect whose finish never came; at most 100.
    package static func unfinishedReconnects(in db: any PostgresQuerying) async throws -> [ConnectSessionRecord] {
        try await db.execute(Statements.unfinishedReconnects).map(ConnectSessionRecord.init)
    }

    /// Pending connections whose finish never came, of sessions whose code has ended; at most 100.
    package static func unconfirmedConnections(in db: any PostgresQuerying) async throws -> [Int64] {
        try await db.execute(Statements.unconfirmed).map { try $0.decode(Int64.self) }
    }
}
