/// What one server session has prepared. A statement is found by its name and its SQL, so that two statements with one
/// name do not collide, and by the types of its parameters, which are fixed when it is prepared.
struct PreparedStatements {
    final class Entry {
        let sql: String
        /// Null-terminated.
        let serverName: [CChar]
        /// 0 where the parameter was `NULL` and the server inferred the type.
        let types: [UInt32]

        init(sql: String, serverName: String, types: [UInt32]) {
            self.sql = sql
            self.serverName = serverName.utf8CString.map { $0 }
            self.types = types
        }

        /// A `NULL` fits every type; a value only the type that was announced for its place.
        func takes(_ actual: [UInt32]) -> Bool {
            guard types.count == actual.count else { return false }
            for index in actual.indices where actual[index] != types[index] && actual[index] != 0 { return false }
            return true
        }
    }

    /// From here on new statements are sent unprepared: SQL made up at run time shall not fill the server's memory.
    static let maximumCount = 1000

    private var entries: [String: [Entry]] = [:]
    private var number = 0
    private(set) var count = 0

    var isFull: Bool { count >= Self.maximumCount }

    func find(_ statement: PostgresStatement, _ types: [UInt32]) -> Entry? {
        entries[statement.name]?.first { $0.takes(types) && $0.sql == statement.sql }
    }

    /// A new entry for the statement. The server's table of names takes 63 bytes.
    mutating func add(_ statement: PostgresStatement, _ types: [UInt32]) -> Entry {
        number += 1
        let name = String(statement.name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }.prefix(40))
        let entry = Entry(sql: statement.sql, serverName: "\(name)_\(number)", types: types)
        entries[statement.name, default: []].append(entry)
        count += 1
        return entry
    }

    mutating func remove(_ entry: Entry, of statement: PostgresStatement) {
        guard let index = entries[statement.name]?.firstIndex(where: { $0 === entry }) else { return }
        entries[statement.name]?.remove(at: index)
        count -= 1
    }

    mutating func removeAll() { self = PreparedStatements() }
}
