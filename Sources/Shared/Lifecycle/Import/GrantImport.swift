import Catalog
import Credentials
import Foundation
import Logging
import Pacing
import Postgres
import Store
import Vault

// Moving in: a file of grants that an app already holds.
//
//   receive   rows are read in bounded memory, checked, sealed for the connections they will be, and stored in batches;
//             each batch moves `next_line`, so a file that is sent again goes on where it was cut
//   compare   the whole file: rows that repeat each other, rows that are connections already
//   apply     batches of rows become connections, each batch in one transaction, by whoever holds the import's row
//
// Killed at any point: an upload is sent again (the same content hash), the rest is taken up by any scheduler.

/// Receives files of grants and makes connections of them.
package struct GrantImport: Sendable {
    private let services: LifecycleServices

    /// Rows of one transaction.
    private static let batch = 200
    /// Rows of one import.
    package static let mostRows: Int64 = 1_000_000

    package init(_ services: LifecycleServices) { self.services = services }

    /// Receives a file from its beginning to its end.
    /// - Parameters:
    ///   - contentHash: SHA-256 of the file, where the sender knows it: then an upload that was cut can be sent again
    ///     and goes on. An import of the same file that is under way or done is answered as it stands.
    ///   - actor: for the audit.
    /// - Throws: ``InvalidValue`` when the content is not what its hash says, or is too long, or another upload of the
    ///   same file has taken over; whatever `bytes` throws.
    package func receive<Bytes: AsyncSequence & Sendable>(
        _ bytes: Bytes, format: ImportFormat, options: ImportOptions, contentHash: [UInt8]?,
        environmentID: Int64, actor: String
    ) async throws -> ImportJob where Bytes.Element: Sequence<UInt8> & Sendable {
        let receiver = UUID()
        let wanted = Array(try JSONEncoder().encode(options))
        var job: ImportJob?
        if let contentHash,
            let known = try await Imports.find(
                environmentID: environmentID, contentHash: contentHash, in: services.pool)
        {
            guard known.state == .receiving else { return known }
            job = try await Imports.takeOver(id: known.id, receiver: receiver, options: wanted, in: services.pool)
        }
        let begun: ImportJob
        if let job {
            begun = job
        } else {
            begun = try await Imports.begin(
                environmentID: environmentID, format: format.rawValue, options: wanted, contentHash: contentHash,
                actor: actor, receiver: receiver, in: services.pool)
        }
        do {
            return try await receive(
                bytes, format: format, options: options, contentHash: contentHash, job: begun, receiver: receiver,
                environmentID: environmentID, actor: actor)
        } catch {
            // What cannot be resumed is forgotten at once; a process that dies here leaves it to the sweep.
            if contentHash == nil || error is InvalidValue {
                try? await Imports.remove(id: begun.id, receiver: receiver, in: services.pool)
            }
            throw error
        }
    }

    private func receive<Bytes: AsyncSequence & Sendable>(
        _ bytes: Bytes, format: ImportFormat, options: ImportOptions, contentHash: [UInt8]?, job: ImportJob,
        receiver: UUID, environmentID: Int64, actor: String
    ) async throws -> ImportJob where Bytes.Element: Sequence<UInt8> & Sendable {
        let check = ImportCheck(
            catalog: services.catalog,
            settings: try await IntegrationSettings.list(environmentID: environmentID, in: services.pool))
        var reader = ImportReader(format)
        var digest = RunningDigest()
        var stage = Stage(job: job, receiver: receiver)
        for try await piece in bytes {
            digest.append(piece)
            for record in reader.append(piece) { try await add(record, to: &stage, check, environmentID) }
        }
        if let record = reader.finish() { try await add(record, to: &stage, check, environmentID) }
        try await flush(&stage)
        let found = digest.finish()
        if let contentHash, contentHash != found {
            throw InvalidValue(
                item: "content_sha256", problem: "is not the SHA-256 of what was sent",
                repair: "send the whole file, and the hash of that very file")
        }
        return try await settle(stage, options, hash: found, environmentID: environmentID, actor: actor)
    }

    // MARK: Receiving

    private struct Stage {
        let job: ImportJob
        let receiver: UUID
        var rows: [StagedRow] = []
        var rejected: [(line: Int64, faults: [UInt8])] = []
        var nextLine: Int64 = 1
        var total: Int64 = 0
    }

    private func add(
        _ record: ImportRecord, to stage: inout Stage, _ check: ImportCheck, _ environmentID: Int64
    ) async throws {
        // Received by an upload before this one.
        guard Int64(record.line) >= stage.job.nextLine else { return }
        stage.total += 1
        guard stage.job.totalRows + stage.total <= Self.mostRows else {
            throw InvalidValue(
                item: "the file", problem: "has more than \(Self.mostRows) rows", repair: "cut it into several")
        }
        switch check.check(record) {
        case .failure(let faults):
            stage.rejected.append((Int64(record.line), Array(try JSONEncoder().encode(faults.faults))))
        case .success(let draft):
            let sealed = try await services.vault.seal(
                draft.tokens.plaintext(),
                .connectionTokens(environmentID: environmentID, uid: draft.uid, generation: 1))
            let key = Array("import fingerprint \(stage.job.uid)".utf8)
            stage.rows.append(
                StagedRow(
                    line: Int64(draft.line), externalID: draft.externalID, uid: draft.uid,
                    facts: Array(try JSONEncoder().encode(draft.facts)), sealed: sealed,
                    fingerprint: draft.rotatingToken.map { Digest.hmacSHA256(key: $0, key) },
                    accountKey: draft.accountKey))
        }
        stage.nextLine = Int64(record.line) + 1
        if stage.rows.count + stage.rejected.count >= Self.batch { try await flush(&stage) }
    }

    private func flush(_ stage: inout Stage) async throws {
        guard !stage.rows.isEmpty || !stage.rejected.isEmpty else { return }
        let (id, receiver, rows, rejected, next) = (
            stage.job.id, stage.receiver, stage.rows, stage.rejected, stage.nextLine
        )
        let moved = try await services.pool.transaction { db in
            try await Imports.stage(
                id: id, receiver: receiver, rows: rows, rejected: rejected, nextLine: next, in: db)
        }
        guard moved != nil else { throw Self.takenOver }
        stage.rows = []
        stage.rejected = []
    }

    private static let takenOver = InvalidValue(
        item: "import", problem: "was taken over by another upload of the same file",
        repair: "look at it there: GET /v1/imports")

    private func settle(
        _ stage: Stage, _ options: ImportOptions, hash: [UInt8], environmentID: Int64, actor: String
    ) async throws -> ImportJob {
        let (id, receiver) = (stage.job.id, stage.receiver)
        if !options.dryRun,
            let earlier = try await Imports.find(
                environmentID: environmentID, contentHash: hash, except: id, in: services.pool),
            earlier.state != .receiving
        {
            try await Imports.remove(id: id, receiver: receiver, in: services.pool)
            return earlier
        }
        let uid = stage.job.uid
        let settled = try await services.pool.transaction { db -> ImportJob? in
            try await Imports.compare(id: id, in: db)
            guard let now = try await Imports.find(uid: uid, environmentID: environmentID, in: db) else { return nil }
            let state: ImportState =
                if now.rejectedRows > 0, !options.skipBadRows { .refused } else if options.dryRun { .checked } else {
                    .importing
                }
            let job = try await Imports.settle(id: id, receiver: receiver, state: state, contentHash: hash, in: db)
            let details = #"{"import":"\#(uid)","state":"\#(state.rawValue)","rows":\#(now.totalRows)}"#
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "import", connectionID: nil,
                details: Array(details.utf8), in: db)
            return job
        }
        guard let settled else { throw Self.takenOver }
        return settled
    }

    // MARK: Applying

    /// Makes connections of one batch of rows.
    /// - Parameter id: of this import; nil for the oldest there is.
    /// - Returns: false when there was nothing to do, or others are at it.
    package func apply(id: Int64? = nil) async throws -> Bool {
        let (services, batch) = (services, Self.batch)
        return try await services.pool.transaction { db in
            guard let job = try await ImportApplication.claim(id: id, in: db),
                let environment = try await Environments.find(id: job.environmentID, in: db)
            else { return false }
            let rows = try await ImportApplication.waiting(importID: job.id, limit: batch, in: db)
            guard !rows.isEmpty else {
                try await ImportApplication.finish(importID: job.id, in: db)
                return true
            }
            let options = try JSONDecoder().decode(ImportOptions.self, from: Data(job.options))
            var outcomes: [(line: Int64, outcome: String, connectionID: Int64)] = []
            var names: [(externalID: String, connectionID: Int64)] = []
            var paces: [(connectionID: Int64, refreshAt: Date?, validateAt: Date?)] = []
            var imported = job.importedRows
            for row in rows {
                let facts = try JSONDecoder().decode(ImportFacts.self, from: Data(row.facts))
                let known = try await ImportApplication.existing(
                    environmentID: environment.id, externalID: row.externalID, identityType: facts.identityType,
                    identity: facts.identity, integration: facts.integration, accountID: facts.accountID, in: db)
                if let known {
                    outcomes.append((row.line, "existing", known))
                    continue
                }
                let new = try newConnection(row, facts, environment)
                let connection = try await Connections.insert(new, sealed: row.sealed, in: db)
                outcomes.append((row.line, "imported", connection.id))
                if let external = row.externalID { names.append((external, connection.id)) }
                paces.append(
                    pace(
                        connection.id, facts, new.grant.schedule, options, place: imported,
                        start: job.startedAt ?? Date()))
                imported += 1
            }
            try await ImportApplication.pace(paces, in: db)
            try await ImportApplication.name(environmentID: environment.id, names, in: db)
            try await ImportApplication.settle(importID: job.id, outcomes, in: db)
            return true
        }
    }

    private func newConnection(
        _ row: StagedRow, _ facts: ImportFacts, _ environment: EnvironmentRecord
    ) throws -> NewConnection {
        let integration = try services.catalog.integration(named: facts.integration)
        // Only what the schedule looks at; the secrets are sealed already.
        var tokens = TokenSet(
            accessToken: Secret(""), refreshToken: facts.hasRefreshToken ? Secret("-") : nil,
            expiresAt: facts.expiresAt, scopes: facts.scopes)
        tokens.refreshExpiresAt = facts.refreshExpiresAt
        var lifetimes = services.lifetimes(
            of: services.catalog.provider(of: integration), integration: integration)
        // Counted from the consent, which was long ago: only what the file says is known.
        lifetimes.absoluteLimit = nil
        if !facts.hasRefreshToken { lifetimes.defaultAccessLife = nil }
        let schedule = GrantSchedule.make(
            tokens: tokens, issuedAt: Date(), lifetimes: lifetimes, requestedScopes: [], key: row.uid)
        return NewConnection(
            uid: row.uid, environmentID: environment.id, mode: environment.mode, integration: facts.integration,
            provider: facts.provider, oauthAppID: facts.app,
            identity: try Identity(type: IdentityType(parsing: facts.identityType), value: facts.identity),
            name: facts.name, tags: facts.tags, metadata: Array(facts.metadata.utf8), state: .active,
            grant: NewGrant(
                schedule: schedule, accountID: facts.accountID, accountLabel: facts.accountLabel,
                parameters: facts.parameters))
    }

    /// The n-th connection of an import comes n/rate seconds after its beginning.
    private func pace(
        _ id: Int64, _ facts: ImportFacts, _ schedule: GrantSchedule, _ options: ImportOptions, place: Int64,
        start: Date
    ) -> (connectionID: Int64, refreshAt: Date?, validateAt: Date?) {
        let turn = start.addingTimeInterval(Double(place) / Double(max(1, options.rate)))
        var refresh = schedule.refreshDueAt
        if facts.hasRefreshToken {
            switch options.refresh {
            case .all: refresh = turn
            case .due: refresh = max(refresh ?? turn, facts.hasAccessToken ? turn : .distantPast)
            }
            if !facts.hasAccessToken { refresh = turn }
        }
        // A probe needs an access token: a minute after the refresh that brings it.
        let probe = options.verify ? turn.addingTimeInterval(facts.hasRefreshToken ? 60 : 0) : nil
        return (id, refresh, probe)
    }

    /// Gives up uploads that nobody goes on with (an hour; a day where they can be resumed), and forgets what imports
    /// did after 30 days.
    package func sweep() async throws {
        try await Imports.sweep(
            cut: .seconds(3600), resumable: .seconds(86_400), keep: .seconds(30 * 86_400), in: services.pool)
    }
}
