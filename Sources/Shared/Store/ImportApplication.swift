import Foundation
import Postgres

/// Staged rows becoming connections: batches, each in one transaction that holds the import's row.
package enum ImportApplication {
    /// Takes an import that is to be applied, for the caller's transaction; others take another.
    package static func claim(id: Int64?, in transaction: any PostgresQuerying) async throws -> ImportJob? {
        try await transaction.execute(claimStatement, [.optional(id) { .int8($0) }]).first.map(ImportJob.init)
    }

    package static func waiting(importID: Int64, limit: Int, in transaction: any PostgresQuerying) async throws
        -> [StagedRow]
    {
        try await transaction.execute(waitingStatement, [.int8(importID), .int4(Int32(limit))]).map { row in
            let (line, external, uid, facts, sealed, account) = try row.decode(
                Int64.self, String?.self, UUID.self, [UInt8].self, [UInt8].self, String?.self)
            return StagedRow(
                line: line, externalID: external, uid: uid, facts: facts, sealed: sealed, fingerprint: nil,
                accountKey: account)
        }
    }

    /// The living connection that a row is already: of its external id, or of its identity's account.
    package static func existing(
        environmentID: Int64, externalID: String?, identityType: String, identity: String, integration: String,
        accountID: String?, in transaction: any PostgresQuerying
    ) async throws -> Int64? {
        guard externalID != nil || accountID != nil else { return nil }
        return try await transaction.execute(
            existingStatement,
            [
                .int8(environmentID), .optional(externalID) { .text($0) }, .text(identityType), .text(identity),
                .text(integration), .optional(accountID) { .text($0) },
            ]
        ).first?.decode(Int64.self)
    }

    /// Names connections by their external ids. One that named a deleted connection names the new one.
    package static func name(
        environmentID: Int64, _ names: [(externalID: String, connectionID: Int64)], in transaction: any PostgresQuerying
    ) async throws {
        guard !names.isEmpty else { return }
        try await transaction.execute(
            nameStatement,
            [.int8(environmentID), .textArray(names.map(\.externalID)), .int8Array(names.map(\.connectionID))])
    }

    /// Writes what came of the rows, and forgets what was staged of them.
    package static func settle(
        importID: Int64, _ rows: [(line: Int64, outcome: String, connectionID: Int64)],
        in transaction: any PostgresQuerying
    ) async throws {
        try await transaction.execute(
            settleStatement,
            [
                .int8(importID), .int8Array(rows.map(\.line)), .textArray(rows.map(\.outcome)),
                .int8Array(rows.map(\.connectionID)),
            ])
    }

    package static func finish(importID: Int64, in transaction: any PostgresQuerying) async throws {
        try await transaction.execute(finishStatement, [.int8(importID)])
    }

    /// When each new connection is to be refreshed, and probed, for the first time.
    package static func pace(
        _ due: [(connectionID: Int64, refreshAt: Date?, validateAt: Date?)], in transaction: any PostgresQuerying
    ) async throws {
        guard !due.isEmpty else { return }
        try await transaction.execute(
            paceStatement,
            [
                .int8Array(due.map(\.connectionID)), .timestamptzArray(due.map(\.refreshAt)),
                .timestamptzArray(due.map(\.validateAt)),
            ])
    }

    /// Index: imports_at_work.
    private static let claimStatement = PostgresStatement(
        "claim_import",
        """
        select \(ImportJob.columns) from evergrant.imports
        where state = 'importing' and ($1::bigint is null or id = $1) order by id limit 1 for update skip locked
        """)

    /// Index: import_rows_waiting.
    private static let waitingStatement = PostgresStatement(
        "list_waiting_import_rows",
        """
        select line, external_id, uid, facts, sealed, account_key from evergrant.import_rows
        where import_id = $1 and outcome is null order by line limit $2
        """)

    /// Indexes: external_ids_pkey, connections_of_identity.
    private static let existingStatement = PostgresStatement(
        "find_imported_connection",
        """
        select c.id from evergrant.external_ids x join evergrant.connections c on c.id = x.connection_id
        where x.environment_id = $1 and x.external_id = $2 and c.state not in ('revoking', 'revoked')
        union all
        select c.id from evergrant.connections c
        where c.environment_id = $1 and c.identity_type = $3 and c.identity = $4 and c.integration = $5
            and c.account_id = $6 and c.state not in ('revoking', 'revoked')
        limit 1
        """)

    private static let nameStatement = PostgresStatement(
        "name_connections",
        """
        insert into evergrant.external_ids (environment_id, external_id, connection_id)
        select $1, n.external_id, n.connection_id from unnest($2::text[], $3::bigint[]) n(external_id, connection_id)
        on conflict (environment_id, external_id) do update set connection_id = excluded.connection_id
        """)

    private static let settleStatement = PostgresStatement(
        "settle_import_rows",
        """
        with settled as (
            update evergrant.import_rows r set outcome = s.outcome, connection_id = s.connection_id, facts = null,
                sealed = null, fingerprint = null, account_key = null
            from unnest($2::bigint[], $3::text[], $4::bigint[]) s(line, outcome, connection_id)
            where r.import_id = $1 and r.line = s.line returning r.outcome)
        update evergrant.imports set touched_at = now(),
            imported_rows = imported_rows + (select count(*) from settled where outcome = 'imported'),
            existing_rows = existing_rows + (select count(*) from settled where outcome = 'existing')
        where id = $1
        """)

    private static let finishStatement = PostgresStatement(
        "finish_import",
        """
        with forgotten as (
            update evergrant.import_rows set fingerprint = null, account_key = null
            where import_id = $1 and (fingerprint is not null or account_key is not null))
        update evergrant.imports set state = 'done', finished_at = now() where id = $1
        """)

    private static let paceStatement = PostgresStatement(
        "pace_imported_connections",
        """
        update evergrant.connections c set refresh_due_at = p.refresh_at,
            validate_due_at = coalesce(p.validate_at, c.validate_due_at)
        from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) p(id, refresh_at, validate_at)
        where c.id = p.id
        """)
}
