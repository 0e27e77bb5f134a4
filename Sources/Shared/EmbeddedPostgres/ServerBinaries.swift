import Foundation

/// The server's programs: `initdb` and `postgres`.
struct ServerBinaries: Sendable, Hashable {
    let directory: String
    /// Such as 15.
    let majorVersion: Int

    var initdb: String { directory + "/initdb" }
    var postgres: String { directory + "/postgres" }

    /// The programs of `version`, or without one those of `pg_config --bindir`, else the newest in Debian's place.
    static func find(version: Int?) async throws -> ServerBinaries {
        var candidates: [String] = []
        if let configured = try? await ChildProcess.output(of: ["pg_config", "--bindir"]) {
            candidates.append(configured.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        let debian = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: debian)) ?? []
        candidates += versions.compactMap(Int.init).sorted(by: >).map { "\(debian)/\($0)/bin" }
        candidates += ["/usr/pgsql/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"]
        var found: [ServerBinaries] = []
        for candidate in candidates where FileManager.default.isExecutableFile(atPath: candidate + "/initdb") {
            guard let text = try? await ChildProcess.output(of: [candidate + "/postgres", "--version"]),
                let number = text.split(separator: " ").compactMap({ Int($0.prefix { $0.isNumber }) }).first
            else { continue }
            let binaries = ServerBinaries(directory: candidate, majorVersion: number)
            if version == nil || version == number { return binaries }
            found.append(binaries)
        }
        if let version, !found.isEmpty {
            throw EmbeddedPostgresError(
                .version,
                "the private database was made by PostgreSQL \(version), but only "
                    + "\(found.map { String($0.majorVersion) }.joined(separator: ", ")) is installed; install "
                    + "postgresql-\(version), or dump and restore the data")
        }
        throw EmbeddedPostgresError(
            .notInstalled,
            "no PostgreSQL server programs found (initdb, postgres); install them (Debian: apt-get install postgresql), "
                + "or give the URL of a database")
    }
}
