import Postgres

/// Rows of `evergrant.external_ids`: what another system calls a connection.
package enum ExternalIDs {
    /// By connection; of several names the first.
    package static func names(of connections: [Int64], in db: any PostgresQuerying) async throws -> [Int64: String] {
        guard !connections.isEmpty else { return [:] }
        var names: [Int64: String] = [:]
        for row in try await db.execute(namesStatement, [.int8Array(connections)]) {
            let (connection, name) = try row.decode(Int64.self, String.self)
            names[connection] = names[connection] ?? name
        }
        return names
    }

    /// Index: external_ids_of_connection.
    private static let namesStatement = PostgresStatement(
        "list_external_ids",
        """
        select connection_id, external_id from evergrant.external_ids where connection_id = any($1)
        order by connection_id, external_id
        """)
}
