import Catalog
import Credentials
import Foundation
import Logging
import OAuth
import Postgres
import Store
import Vault

/// A reconnect's facts while its grant waits for the finish.
struct HeldFacts: Codable {
    var grant: UUID
    var app: Int64?
    var issued: Double
    var scopes: [String]
    var parameters: [String: String]
    var accountID: String?
    var accountLabel: String?
}

extension ConnectFlow {
    /// One transaction: the connection, the session's end, the event (by trigger), the audit line.
    ///
    /// Idempotent by grant id, so that an answer whose commit was cut off can be committed again.
    /// - Parameter late: out of the journal; then a claim that has lapsed since does not matter.
    func commit(_ answer: ExchangedAnswer, late: Bool) async throws -> FinishedSession {
        guard let session = try await ConnectSessions.find(uid: answer.sessionUID, in: pool) else {
            throw ConnectError(.sessionUnknown)
        }
        let code = session.requiresFinish ? SecureRandom.token() : nil
        var failures = 0
        while true {
            do {
                let connection = try await commitOnce(answer, session, code: code, late: late)
                return FinishedSession(
                    session: session, connection: connection,
                    returnURL: returnURL(of: session, code: code.map { Secret($0) }))
            } catch let error as PostgresError where error.isRetryable || error.code == .commitUnknown {
                // The answer is in hand and in the journal; a short absence of the database must not cost it.
                failures += 1
                if failures == 4 {
                    logger.error(
                        "connection not committed; the journal keeps the answer",
                        metadata: ["session": "\(session.uid)", "error": "\(error)"])
                    throw ConnectError(.ours, hint: "the database is not available")
                }
                try await Task.sleep(for: .milliseconds(200 * failures))
            }
        }
    }

    private func commitOnce(
        _ answer: ExchangedAnswer, _ session: ConnectSessionRecord, code: String?, late: Bool
    ) async throws -> ConnectionRecord {
        if let done = try await committed(answer, session) { return done }
        let renewed =
            if let id = session.connectionID { Optional(id) } else { try await renewedByAccount(answer, session) }
        guard let existing = renewed else { return try await insert(answer, session, code, late) }
        if session.requiresFinish { return try await hold(answer, for: existing, session, code, late) }
        return try await install(answer, on: existing, allowsOtherAccount: session.allowsOtherAccount) { db, record in
            try await finish(session, answer, record.id, code: nil, held: nil, facts: nil, late: late, in: db)
        }
    }

    /// The connection, when this very answer was committed by a try whose own answer was lost.
    private func committed(
        _ answer: ExchangedAnswer, _ session: ConnectSessionRecord
    ) async throws -> ConnectionRecord? {
        guard let now = try await ConnectSessions.find(id: session.id, in: pool), now.state == .finished,
            let id = now.finishedConnectionID, let connection = try await Connections.find(id: id, in: pool)
        else { return nil }
        let held = try now.heldFacts.map { try JSONDecoder().decode(HeldFacts.self, from: Data($0)) }
        return connection.grantID == answer.grantID || held?.grant == answer.grantID ? connection : nil
    }

    private func insert(
        _ answer: ExchangedAnswer, _ session: ConnectSessionRecord, _ code: String?, _ late: Bool
    ) async throws -> ConnectionRecord {
        guard let environment = try await Environments.find(id: session.environmentID, in: pool) else {
            throw ConnectError(.sessionUnknown)
        }
        let sealed = try await vault.seal(
            answer.tokens.plaintext(),
            .connectionTokens(environmentID: session.environmentID, uid: answer.connectionUID, generation: 1))
        let new = NewConnection(
            uid: answer.connectionUID, environmentID: session.environmentID, mode: environment.mode,
            integration: answer.integration, provider: answer.provider, oauthAppID: answer.oauthAppID,
            identity: session.identity, name: session.name, tags: session.tags, metadata: session.metadata,
            state: session.requiresFinish ? .pending : .active, grant: try await grant(answer, generation: 1))
        return try await pool.transaction { db in
            let connection = try await Connections.insert(new, sealed: sealed, in: db)
            let hash = code.map { Digest.sha256($0) }
            guard
                try await finish(session, answer, connection.id, code: hash, held: nil, facts: nil, late: late, in: db)
            else { throw try await whyNotClaimed(session) }
            try await supersedeOthers(answer, by: connection.id, in: db)
            return connection
        }
    }

    /// Where a provider keeps one grant per account: the connection of this identity that the new grant has ended, and
    /// so renews, with its id and key.
    private func renewedByAccount(_ answer: ExchangedAnswer, _ session: ConnectSessionRecord) async throws -> Int64? {
        guard let (app, account) = sharedGrant(answer) else { return nil }
        return try await AccountGrants.owned(
            appID: app, accountID: account, integration: answer.integration,
            identityType: session.identity.type.rawValue, identity: session.identity.value, in: pool)
    }

    /// The owners of other connections of the account are told at once: their grant has ended at the provider.
    private func supersedeOthers(
        _ answer: ExchangedAnswer, by connectionID: Int64, in db: any PostgresQuerying
    ) async throws {
        guard let (app, account) = sharedGrant(answer) else { return }
        try await AccountGrants.supersede(appID: app, accountID: account, by: connectionID, in: db)
    }

    private func sharedGrant(_ answer: ExchangedAnswer) -> (app: Int64, account: String)? {
        guard catalog.provider(answer.provider)?.grants.onePerAccount == true, let app = answer.oauthAppID,
            let account = answer.account
        else { return nil }
        return (app, account.id)
    }

    /// A reconnect that needs a finish keeps the new grant with the session: until the app has confirmed who
    /// consented, nothing of the connection changes.
    private func hold(
        _ answer: ExchangedAnswer, for connectionID: Int64, _ session: ConnectSessionRecord, _ code: String?,
        _ late: Bool
    ) async throws -> ConnectionRecord {
        guard let connection = try await Connections.find(id: connectionID, in: pool) else {
            throw ConnectError(.connectionGone)
        }
        try checkAccount(answer.account, on: connection, allowsOther: session.allowsOtherAccount)
        let sealed = try await vault.seal(
            answer.tokens.plaintext(),
            .heldGrant(environmentID: session.environmentID, sessionUID: session.uid))
        let facts = try JSONEncoder().encode(
            HeldFacts(
                grant: answer.grantID, app: answer.oauthAppID, issued: answer.issuedAt.timeIntervalSince1970,
                scopes: answer.requestedScopes,
                parameters: answer.parameters, accountID: answer.account?.id, accountLabel: answer.account?.label))
        let hash = code.map { Digest.sha256($0) }
        return try await pool.transaction { db in
            guard
                try await finish(
                    session, answer, connectionID, code: hash, held: sealed, facts: Array(facts), late: late, in: db)
            else { throw try await whyNotClaimed(session) }
            try await supersedeOthers(answer, by: connectionID, in: db)
            return connection
        }
    }

    /// Installs a new grant on an existing connection, in place.
    /// - Parameter also: what else belongs into the transaction; false aborts it as lost.
    func install(
        _ answer: ExchangedAnswer, on connectionID: Int64, allowsOtherAccount: Bool,
        also: @Sendable @escaping (any PostgresQuerying, ConnectionRecord) async throws -> Bool
    ) async throws -> ConnectionRecord {
        // Sealing binds the generation, and must not happen under the row's lock: seal for the next one, look again.
        for _ in 0..<8 {
            guard let seen = try await Connections.find(id: connectionID, in: pool), seen.state != .revoking,
                seen.state != .revoked
            else { throw ConnectError(.connectionGone) }
            try checkAccount(answer.account, on: seen, allowsOther: allowsOtherAccount)
            let generation = seen.generation + 1
            let sealed = try await vault.seal(
                answer.tokens.plaintext(),
                .connectionTokens(environmentID: seen.environmentID, uid: seen.uid, generation: generation))
            let new = try await grant(answer, generation: generation)
            let installed = try await pool.transaction { db -> ConnectionRecord? in
                guard let locked = try await Connections.lock(id: connectionID, in: db), locked.state != .revoking,
                    locked.state != .revoked
                else { throw ConnectError(.connectionGone) }
                guard locked.generation + 1 == generation else { return nil }
                let record = try await Connections.installGrant(new, on: locked, sealed: sealed, in: db)
                // The client that asked for the grant is the one that can refresh it.
                if let app = answer.oauthAppID { try await OAuthApps.adopt(connectionID: record.id, app: app, in: db) }
                try await supersedeOthers(answer, by: record.id, in: db)
                guard try await also(db, record) else { throw ConnectError(.sessionBusy) }
                return record
            }
            if let installed { return installed }
        }
        throw ConnectError(.ours, hint: "the connection is being refreshed over and over")
    }

    private func finish(
        _ session: ConnectSessionRecord, _ answer: ExchangedAnswer, _ connectionID: Int64, code: [UInt8]?,
        held: [UInt8]?, facts: [UInt8]?, late: Bool, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await Audit.record(
            environmentID: session.environmentID, actor: "session:\(session.uid)",
            action: session.connectionID == nil ? "connect" : "reconnect", connectionID: connectionID, in: db)
        return try await ConnectSessions.finish(
            id: session.id, nonce: answer.nonce, late: late, browser: answer.browser, connectionID: connectionID,
            finishHash: code, requiresFinish: session.requiresFinish, finishLife: limits.finishLife, heldGrant: held,
            heldFacts: facts, in: db)
    }

    private func checkAccount(
        _ account: Account?, on connection: ConnectionRecord, allowsOther: Bool
    ) throws(ConnectError) {
        guard !allowsOther, let known = connection.accountID else { return }
        guard let account else {
            throw ConnectError(.providerUnavailable, hint: "the probe did not tell whose account this is")
        }
        guard account.id == known else { throw ConnectError(.accountMismatch) }
    }

    private func grant(_ answer: ExchangedAnswer, generation: Int64) async throws -> NewGrant {
        var app = AppPlanning()
        if let id = answer.oauthAppID, let stored = try await OAuthApps.find(id: id, in: pool) {
            // An unreadable parameter costs a cautious plan, not the user's consent.
            app = (try? AppPlanning(stored.parameters)) ?? app
        }
        let lifetimes = catalog.provider(answer.provider)?.lifetimes
        let probe = catalog.integration(answer.integration)?.probe
        var schedule = GrantSchedule.make(
            tokens: answer.tokens, issuedAt: answer.issuedAt,
            lifetimes: GrantLifetimes(
                defaultAccessLife: lifetimes?.access, idleLimit: lifetimes?.idle, absoluteLimit: lifetimes?.absolute,
                validateEvery: limits.validateEvery == .zero ? nil : probe.map { $0.every ?? limits.validateEvery },
                rules: limits.planning
            ).overridden(by: app), requestedScopes: answer.requestedScopes, key: answer.connectionUID)
        schedule.wait(catalog.provider(answer.provider)?.refresh.notBefore)
        return NewGrant(
            grantID: answer.grantID, generation: generation, schedule: schedule,
            accountID: answer.account?.id, accountLabel: answer.account?.label, parameters: answer.parameters)
    }
}
