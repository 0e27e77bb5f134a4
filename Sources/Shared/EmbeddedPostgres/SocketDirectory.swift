import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Where the server's socket is: only its user (and root) may enter, which is all the protection there is, since the
/// server trusts whoever reaches it. A socket's path has at most 107 bytes (unix(7)).
struct SocketDirectory: Sendable {
    let path: String

    /// Makes it in the cluster's directory, or under /tmp when that is too deep; `socket-directory` then records where.
    init(cluster: String, _ account: ServerAccount) throws {
        let near = cluster + "/socket"
        let record = cluster + "/socket-directory"
        // What a killed process left behind.
        if let left = FileManager.default.contents(atPath: record).map({ String(decoding: $0, as: UTF8.self) }),
            left.hasPrefix(Self.prefix)
        {
            try? FileManager.default.removeItem(atPath: left)
            unlink(record)
        }
        try? FileManager.default.removeItem(atPath: near)
        if near.utf8.count + "/.s.PGSQL.5432".utf8.count < 100 {
            path = near
            try account.makeDirectory(near)
            return
        }
        var template = (Self.prefix + "XXXXXX").utf8CString.map { $0 }
        guard mkdtemp(&template) != nil else {
            throw EmbeddedPostgresError(.file, "cannot make a directory in /tmp: \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try account.makeDirectory(path)
        guard FileManager.default.createFile(atPath: record, contents: Data(path.utf8)) else {
            throw EmbeddedPostgresError(.file, "cannot write \(record)")
        }
    }

    private static let prefix = "/tmp/evergrant-socket-"

    /// A URI of the database `postgres` for libpq.
    var url: String {
        let host = path.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? path
        return "postgresql://postgres@/postgres?host=\(host)&port=5432"
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
