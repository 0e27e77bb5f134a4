import Foundation
import Postgres
import Vault

/// Wrapped data keys in `evergrant.data_keys`.
package struct DataKeys: DataKeyRepository {
    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func newest(environmentID: Int64) async throws -> WrappedDataKey? {
        try await pool.execute(Self.newestStatement, [.int8(environmentID)]).first.map(Self.key)
    }

    package func newestOfEach() async throws -> [WrappedDataKey] {
        try await pool.execute(Self.newestOfEachStatement, []).map(Self.key)
    }

    package func find(id: UUID) async throws -> WrappedDataKey? {
        try await pool.execute(Self.findStatement, [.uuid(id)]).first.map(Self.key)
    }

    /// Inserts `key` unless another process was faster in the same moment; returns whichever is newest.
    package func insert(_ key: WrappedDataKey) async throws -> WrappedDataKey {
        try await pool.execute(
            Self.insertStatement,
            [
                .uuid(key.id), .int8(key.environmentID), .text(key.kekID), .bytea(key.wrapped),
                .timestamptz(key.createdAt),
            ])
        return key
    }

    package func addSeals(id: UUID, count: Int64) async throws {
        try await pool.execute(Self.addSealsStatement, [.uuid(id), .int8(count)])
    }

    private static func key(_ row: PostgresRow) throws -> WrappedDataKey {
        let (id, environmentID, kekID, wrapped, createdAt, seals) = try row.decode(
            UUID.self, Int64.self, String.self, [UInt8].self, Date.self, Int64.self)
        return WrappedDataKey(
            id: id, environmentID: environmentID, kekID: kekID, wrapped: wrapped, createdAt: createdAt, seals: seals)
    }

    private static let columns = "id, environment_id, kek_id, wrapped, created_at, seals"

    /// Index: data_keys_newest.
    private static let newestStatement = PostgresStatement(
        "find_newest_data_key",
        "select \(columns) from evergrant.data_keys where environment_id = $1 order by created_at desc, id limit 1")

    private static let newestOfEachStatement = PostgresStatement(
        "list_newest_data_keys",
        """
        select distinct on (environment_id) \(columns) from evergrant.data_keys
        order by environment_id, created_at desc, id
        """)

    private static let findStatement = PostgresStatement(
        "find_data_key", "select \(columns) from evergrant.data_keys where id = $1")

    private static let insertStatement = PostgresStatement(
        "insert_data_key",
        "insert into evergrant.data_keys (id, environment_id, kek_id, wrapped, created_at) values ($1, $2, $3, $4, $5)")

    private static let addSealsStatement = PostgresStatement(
        "add_data_key_seals", "update evergrant.data_keys set seals = seals + $2 where id = $1")
}
