import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Lifecycle
import Store
import Vault

struct ImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Move in: make connections of grants that your app already holds.",
        discussion: """
            Example:
              evergrant import grants.ndjson --environment live --dry-run
              evergrant import grants.ndjson --environment live
            A row: {"integration":"gmail","identity":"user-1","refresh_token":"…","external_id":"42"}
            Everything is checked before anything is stored. Killed in the middle, run it again: it goes on where it was. \
            Stop your own refreshing of these grants first; docs/import-export.md tells the columns and the order of steps.
            """)

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The file; - for standard input.")
    var file: String
    @Option(name: .long, help: "ndjson or csv; by default what the file's name says, else ndjson.")
    var format: String?
    @Option(name: .long, help: "The environment; needed when there are several.")
    var environment: String?
    @Flag(name: .long, help: "Check everything and store nothing.")
    var dryRun = false
    @Flag(name: .long, help: "Import the good rows although others are bad.")
    var skipBadRows = false
    @Option(name: .long, help: "all: refresh each grant once, paced; due: only when its access token ends.")
    var refresh = ImportOptions.Refresh.all.rawValue
    @Option(name: .long, help: "First refreshes a second, 1 to 1000.")
    var rate = 50
    @Flag(name: .long, help: "Probe each connection as well.")
    var verify = false
    @Option(
        name: .long,
        help: ArgumentHelp("Write the bad rows' lines and faults to this file, as NDJSON.", valueName: "path"))
    var rejects: String?

    func validate() throws {
        guard ImportOptions.rates.contains(rate) else { throw ValidationError("--rate takes 1 to 1000") }
        guard ImportOptions.Refresh(rawValue: refresh) != nil else {
            throw ValidationError("--refresh takes all or due")
        }
        if let format, ImportFormat(rawValue: format) == nil { throw ValidationError("--format takes ndjson or csv") }
    }

    func run() async throws {
        var wanted = ImportOptions()
        wanted.dryRun = dryRun
        wanted.skipBadRows = skipBadRows
        wanted.rate = rate
        wanted.verify = verify
        wanted.refresh = ImportOptions.Refresh(rawValue: refresh) ?? .all
        let format = format.flatMap(ImportFormat.init) ?? (file.lowercased().hasSuffix(".csv") ? .csv : .ndjson)
        let options = wanted
        try await Tool.runSealing(self.options) { parts in
            let environment = try await Tool.environment(environment, in: parts.pool)
            let importing = GrantImport(parts.lifecycle)
            // A file is read twice: its hash is what a second run goes on by.
            let hash = file == "-" ? nil : try FilePieces(file).hash()
            var job = try await importing.receive(
                try FilePieces(file), format: format, options: options, contentHash: hash,
                environmentID: environment.id,
                actor: "cli")
            while job.state == .importing {
                // Others may hold it: a scheduler works on it as well.
                if try await !importing.apply(id: job.id) { try await Task.sleep(for: .milliseconds(200)) }
                guard let now = try await Imports.find(uid: job.uid, environmentID: environment.id, in: parts.pool)
                else { break }
                job = now
            }
            let faults = try await list(job, in: parts)
            try output.print(Row(job), text: text(job, faults))
            if job.state == .refused { throw ExitCode(EX_DATAERR) }
        }
    }

    struct Row: Encodable {
        let id, state: String
        let rows, rejected, imported, existing: Int64

        init(_ job: ImportJob) {
            id = job.uid
            state = job.state.rawValue
            rows = job.totalRows
            rejected = job.rejectedRows
            imported = job.importedRows
            existing = job.existingRows
        }
    }

    private struct Reject: Encodable {
        let line: Int64
        let faults: [ImportFault]
    }

    /// All that was stored of the bad rows, into the file; the first of them.
    private func list(_ job: ImportJob, in parts: ProcessServices) async throws -> [Reject] {
        guard job.rejectedRows > 0 else { return [] }
        var all: [Reject] = []
        while true {
            let page = try await Imports.outcomes(
                id: job.id, outcome: "rejected", after: all.last?.line ?? 0, limit: 1000, in: parts.pool)
            for row in page {
                let faults = try row.faults.map { try JSONDecoder().decode([ImportFault].self, from: Data($0)) }
                all.append(Reject(line: row.line, faults: faults ?? []))
            }
            if page.count < 1000 || rejects == nil { break }
        }
        if let rejects {
            let lines = try all.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) + "\n" }
            try lines.joined().write(toFile: rejects, atomically: true, encoding: .utf8)
        }
        return all
    }

    private func text(_ job: ImportJob, _ rejected: [Reject]) -> String {
        var lines: [String] = []
        for row in rejected.prefix(20) {
            for fault in row.faults {
                let place = fault.column.isEmpty ? "line \(row.line)" : "line \(row.line), \(fault.column)"
                lines.append("\(place): \(fault.problem); \(fault.repair)")
            }
        }
        if job.rejectedRows > 20 { lines.append("… and \(job.rejectedRows - 20) more bad rows; --rejects lists them") }
        let counts = "\(job.totalRows) rows, \(job.rejectedRows) bad, \(job.existingRows) connections already"
        let ending =
            switch job.state {
            case .refused: "refused, nothing was imported"
            case .checked: "checked, nothing was stored"
            default: "\(job.state.rawValue), \(job.importedRows) imported"
            }
        lines.append("\(job.uid) \(ending): \(counts)")
        return lines.joined(separator: "\n")
    }
}

/// A file in pieces of 64 KiB.
struct FilePieces: AsyncSequence, Sendable {
    typealias Element = Data

    private let path: String

    init(_ path: String) throws {
        self.path = path
        if path != "-", !FileManager.default.isReadableFile(atPath: path) {
            throw InvalidValue(item: "file \(path)", problem: "cannot be read", repair: "check its name and rights")
        }
    }

    func hash() throws -> [UInt8] {
        var digest = RunningDigest()
        guard let handle = FileHandle(forReadingAtPath: path) else { return digest.finish() }
        defer { try? handle.close() }
        while let piece = try handle.read(upToCount: 64 * 1024), !piece.isEmpty { digest.append(piece) }
        return digest.finish()
    }

    func makeAsyncIterator() -> Iterator {
        Iterator(handle: path == "-" ? .standardInput : FileHandle(forReadingAtPath: path))
    }

    struct Iterator: AsyncIteratorProtocol {
        let handle: FileHandle?

        mutating func next() async throws -> Data? {
            guard let piece = try handle?.read(upToCount: 64 * 1024), !piece.isEmpty else { return nil }
            return piece
        }
    }
}
