import Foundation

/// One step of the schema: a file `Migrations/NNNN_name.sql`. Applied once, in order, in a transaction of its own.
package struct Migration: Sendable, Hashable {
    package let version: Int
    package let name: String
    package let sql: String

    package init(version: Int, name: String, sql: String) {
        self.version = version
        self.name = name
        self.sql = sql
    }

    /// Tells an edited file from the one that was applied (FNV-1a, 64 bits, hexadecimal; guards against mistakes, not
    /// against attacks).
    package var checksum: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in sql.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The migrations this binary carries, in order. Throws `SchemaError` when a file cannot be read, is badly named, or
    /// two have one number.
    package static func bundled() throws -> [Migration] {
        try load(from: Bundle.module.bundleURL.appendingPathComponent("Migrations"))
    }

    /// The migrations in a folder. Other files than `*.sql` are left alone.
    package static func load(from folder: URL) throws -> [Migration] {
        let files: [String]
        do {
            files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        } catch {
            throw SchemaError(.unreadable, "cannot read the migrations in \(folder.path): \(error)")
        }
        var migrations: [Migration] = []
        for file in files.sorted() where file.hasSuffix(".sql") {
            let stem = file.dropLast(4)
            guard let underscore = stem.firstIndex(of: "_"), let version = Int(stem[..<underscore]), version > 0 else {
                throw SchemaError(.unreadable, "migration \(file) is not named NNNN_name.sql")
            }
            guard let sql = try? String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8) else {
                throw SchemaError(.unreadable, "cannot read migration \(file) as UTF-8")
            }
            migrations.append(
                Migration(version: version, name: String(stem[stem.index(after: underscore)...]), sql: sql))
        }
        migrations.sort { $0.version < $1.version }
        for (one, next) in zip(migrations, migrations.dropFirst()) where one.version == next.version {
            throw SchemaError(
                .unreadable, "two migrations have number \(one.version): \(one.name) and \(next.name)")
        }
        return migrations
    }
}
