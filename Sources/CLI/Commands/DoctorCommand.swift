import ArgumentParser
import Bootstrap
import Catalog
import Credentials
import Escrow
import Foundation
import Lifecycle
import Logging
import Postgres
import Schema
import Store
import Vault

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Try out what the configuration says, and tell what to repair.",
        discussion: "Exit status 1 when something is wrong.")

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let configuration = try options.load(needs: [.database, .keyring])
        var log = configuration.log
        log.level = .critical
        let findings = await Examination(configuration, logger: log.bootstrap(label: "doctor")).run()
        var table = TextTable("", "CHECK", "FOUND")
        for finding in findings { table.add(finding.isGood ? "ok" : "!!", finding.check, finding.words) }
        try output.print(findings, text: table.text)
        if findings.contains(where: { !$0.isGood }) { throw ExitCode(1) }
    }
}

/// Checks one after the other; one that fails does not stop the next, but a database that is away ends those that need it.
struct Examination {
    struct Finding: Encodable {
        let check: String
        let isGood: Bool
        let words: String
    }

    /// Beyond it, times in logs and the database's differ enough to mislead. Nothing in the queue depends on ours.
    private static let allowedSkew = 5.0

    private let configuration: EvergrantConfiguration
    private let logger: Logger

    init(_ configuration: EvergrantConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func run() async -> [Finding] {
        var findings = [
            await check("catalog") { "\(try configuration.catalog.catalog().integrations.count) integrations" }
        ]
        var keyring: Keyring?
        findings.append(
            await check("keyring") {
                let read = try configuration.keyring.keyring()
                keyring = read
                return "\(read.ids.count) keys, primary \(read.primaryID)"
            })
        findings.append(await check("escrow journal") { try journal() })
        findings.append(await check("public URL") { try publicURL() })
        findings += await database(keyring)
        return findings
    }

    private func check(_ name: String, _ body: () async throws -> String) async -> Finding {
        do {
            return Finding(check: name, isGood: true, words: try await body())
        } catch {
            return Finding(
                check: name, isGood: false, words: Failure.words(for: error).text.replacing("\n", with: "; "))
        }
    }

    private func journal() throws -> String {
        guard configuration.escrow.isEnabled else { return "switched off by escrow.enabled" }
        // Opened and closed like a process's own: an empty journal leaves nothing behind.
        try EscrowJournal(.init(directory: configuration.escrow.directory), logger: logger).close()
        return "\(configuration.escrow.directory) is writable"
    }

    private func publicURL() throws -> String {
        let url = configuration.front.publicURL
        let host = URLComponents(string: url)?.host ?? ""
        let isLocal = host == "localhost" || host == "::1" || host.hasPrefix("127.")
        guard url.hasPrefix("https:") || isLocal else {
            throw InvalidValue(
                item: "front.public_url \(url)", problem: "is plain http on a host that is not this machine",
                repair: "put TLS in front and write https: browsers refuse our cookies otherwise")
        }
        return url + (isLocal ? " (this machine only)" : "")
    }

    private func database(_ keyring: Keyring?) async -> [Finding] {
        let pool: PostgresPool
        do {
            var postgres = try configuration.database.postgres(.tool)
            postgres.maximumConnections = 2
            pool = PostgresPool(postgres, logger: logger)
        } catch {
            return [Finding(check: "database", isGood: false, words: Failure.words(for: error).text)]
        }
        var findings = [await check("database") { try await server(pool) }]
        if findings[0].isGood {
            findings.append(await check("clock") { try await clock(pool) })
            findings.append(
                await check("schema") {
                    let migrator = try SchemaMigrator(pool: pool, logger: logger)
                    try await migrator.check()
                    return "version \(migrator.migrations.last?.version ?? 0)"
                })
            if findings.last?.isGood == true { findings.append(await check("server") { try await hold(pool) }) }
            if let keyring, findings.last?.isGood == true {
                findings.append(
                    await check("data keys") {
                        let vault = CredentialVault(
                            keyring: keyring, repository: DataKeys(pool: pool), logger: logger)
                        try await vault.check()
                        return "the keyring opens the newest of every environment"
                    })
            }
        }
        await pool.close()
        return findings
    }

    private func server(_ pool: PostgresPool) async throws -> String {
        let rows = try await pool.execute(Self.serverStatement, [])
        guard let row = rows.first else { return "no answer" }
        let (version, number, isReplica) = try row.decode(String.self, Int32.self, Bool.self)
        guard number >= 130_000 else {
            throw InvalidValue(
                item: "PostgreSQL \(version)", problem: "is too old", repair: "use version 13 or newer")
        }
        guard !isReplica else {
            throw InvalidValue(
                item: "the database", problem: "is a replica and takes no writes",
                repair: "name the primary, or add target_session_attrs=read-write to its address")
        }
        return "PostgreSQL \(version)"
    }

    /// Whether the database is still the server that the fleet, and this machine's journal, know.
    private func hold(_ pool: PostgresPool) async throws -> String {
        let known = ServerWatch(
            directory: configuration.escrow.isEnabled ? configuration.escrow.directory : nil
        ).known
        guard try await ServerChanges.isHeld(known: known, in: pool) else { return "the one that is known" }
        let waiting = try await ServerChanges.waiting(in: pool).map(\.owner)
        throw InvalidValue(
            item: "the database server", problem: "has changed or went back, so nothing that rotates is presented",
            repair: waiting.isEmpty
                ? "`evergrant server` says why and what to do"
                : "start the processes whose journals are waited for (\(waiting.joined(separator: ", "))); "
                    + "`evergrant server` says more")
    }

    private func clock(_ pool: PostgresPool) async throws -> String {
        let before = Date()
        let rows = try await pool.execute(Self.clockStatement, [])
        let after = Date()
        guard let row = rows.first else { return "no answer" }
        let theirs = try row.decode(Date.self)
        let skew = theirs.timeIntervalSince(before.addingTimeInterval(after.timeIntervalSince(before) / 2))
        guard abs(skew) <= Self.allowedSkew else {
            throw InvalidValue(
                item: "this machine's clock", problem: "differs from the database's by \(Int(skew)) s",
                repair: "run a time service (chrony, systemd-timesyncd) on both")
        }
        return "within \(Int((abs(skew) * 1000).rounded(.up))) ms of the database's"
    }

    private static let serverStatement = PostgresStatement(
        "describe server",
        """
        select current_setting('server_version'), current_setting('server_version_num')::int4, pg_is_in_recovery()
        """)
    private static let clockStatement = PostgresStatement("read clock", "select clock_timestamp()")
}
