import Postgres

extension PostgresRows {
    /// The first column of the first row; nil when there is no row.
    func value<Value: PostgresDecodable>(_ type: Value.Type) throws -> Value? {
        guard let row = first else { return nil }
        return try row.decode(type)
    }
}
