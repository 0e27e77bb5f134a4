import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Store
import Vault

/// `/v1/imports`: files of grants that an app already holds.
struct ImportsController {
    let services: FrontServices

    /// Bad rows shown in an answer; all of them are at `…/rows`.
    private static let shownFaults = 100

    func addRoutes(to routes: APIRoutes) {
        var receive = APICall(.manage, receive)
        receive.streams = true
        routes.add("/v1/imports", [.get: APICall(.read, list), .post: receive])
        routes.add("/v1/imports/:id", [.get: APICall(.read, show)])
        routes.add("/v1/imports/:id/rows", [.get: APICall(.read, rows)])
    }

    /// Reads the file as it comes. Answers when all of it is checked and stored; connections are made after that.
    @Sendable private func receive(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(
            request,
            allowing: ["format", "dry_run", "skip_bad_rows", "refresh", "rate", "verify", "content_sha256"])
        var options = ImportOptions()
        options.dryRun = try query.flag("dry_run")
        options.skipBadRows = try query.flag("skip_bad_rows")
        options.verify = try query.flag("verify")
        options.refresh = try query.word("refresh", ImportOptions.Refresh.self) ?? options.refresh
        options.rate = try query.integer("rate", ImportOptions.rates, default: options.rate)
        var hash: [UInt8]?
        if let text = query["content_sha256"] {
            guard let bytes = Encoding.bytes(hex: text), bytes.count == Digest.length else {
                throw HTTPProblem.invalid("content_sha256", "is not 64 hexadecimal digits")
            }
            hash = bytes
        }
        let job = try await GrantImport(services.lifecycle).receive(
            request.body.map { $0.readableBytesView }, format: try format(request, query), options: options,
            contentHash: hash, environmentID: try context.authenticated().environment.id, actor: context.actor)
        let status: HTTPResponse.Status =
            switch job.state {
            case .refused: .unprocessableContent
            case .importing: .accepted
            default: .ok
            }
        return try .json(try await body(job), status: status)
    }

    private func format(_ request: Request, _ query: QueryReader) throws -> ImportFormat {
        if let format = try query.word("format", ImportFormat.self) { return format }
        let media = request.headers[.contentType]?.lowercased().prefix { $0 != ";" } ?? ""
        switch media {
        case "text/csv": return .csv
        case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
            return .ndjson
        default:
            throw HTTPProblem(
                .unsupportedMediaType, "unsupported_media_type", "The body is announced neither as NDJSON nor as CSV.",
                hint: "send Content-Type: application/x-ndjson or text/csv, or ?format=ndjson or csv")
        }
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["limit", "cursor"])
        let limit = try query.integer("limit", 1...200, default: 50)
        let jobs = try await Imports.list(
            environmentID: try context.authenticated().environment.id, before: try Cursor.parse(query["cursor"]),
            limit: limit, in: services.pool)
        return try .page(
            jobs.map { try JSONCoding.encode(ImportBody($0)) },
            next: jobs.count == limit ? jobs.last.map { Cursor.text($0.id) } : nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(try await body(try await find(context)))
    }

    @Sendable private func rows(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["outcome", "limit", "cursor"])
        let limit = try query.integer("limit", 1...1000, default: 200)
        let job = try await find(context)
        let rows = try await Imports.outcomes(
            id: job.id, outcome: try query.word("outcome", ImportRowBody.Outcome.self)?.rawValue,
            after: try Cursor.parse(query["cursor"]) ?? 0, limit: limit, in: services.pool)
        return try .page(
            rows.map { try JSONCoding.encode(ImportRowBody($0)) },
            next: rows.count == limit ? rows.last.map { Cursor.text($0.line) } : nil)
    }

    private func find(_ context: FrontRequestContext) async throws -> ImportJob {
        guard
            let job = try await Imports.find(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                in: services.pool)
        else { throw HTTPProblem.missing("import") }
        return job
    }

    private func body(_ job: ImportJob) async throws -> ImportBody {
        var body = ImportBody(job)
        if job.rejectedRows > 0 {
            body.rejected = try await Imports.outcomes(
                id: job.id, outcome: "rejected", after: 0, limit: Self.shownFaults, in: services.pool
            ).map { try ImportRowBody($0) }
        }
        if job.state == .importing || job.state == .done {
            body.first_refreshes = .init(try await Imports.progress(id: job.id, in: services.pool))
        }
        return body
    }
}

struct ImportBody: Encodable {
    struct Progress: Encodable {
        let waiting: Int64
        let done: Int64
        let broken: Int64

        init(_ progress: ImportProgress) {
            waiting = progress.waiting
            done = progress.refreshed
            broken = progress.broken
        }
    }

    let id: String
    let state: String
    let format: String
    let content_sha256: String?
    let rows: Int64
    let rejected_rows: Int64
    let imported_rows: Int64
    let existing_rows: Int64
    let created_at: Date
    let finished_at: Date?
    /// The first of them.
    var rejected: [ImportRowBody]?
    var first_refreshes: Progress?

    init(_ job: ImportJob) {
        id = job.uid
        state = job.state.rawValue
        format = job.format
        content_sha256 = job.contentHash.map { Encoding.hex($0) }
        rows = job.totalRows
        rejected_rows = job.rejectedRows
        imported_rows = job.importedRows
        existing_rows = job.existingRows
        created_at = job.createdAt
        finished_at = job.finishedAt
    }
}

struct ImportRowBody: Encodable {
    enum Outcome: String, CaseIterable { case rejected, imported, existing }

    let line: Int64
    let outcome: String
    let external_id: String?
    let connection: String?
    let faults: [ImportFault]?

    init(_ row: ImportOutcome) throws {
        line = row.line
        outcome = row.outcome ?? "waiting"
        external_id = row.externalID
        connection = row.connection.map { "conn_\($0.hex)" }
        faults = try row.faults.map { try JSONDecoder().decode([ImportFault].self, from: Data($0)) }
    }
}

extension QueryReader {
    /// `true` or `false`; left out: false.
    func flag(_ name: String) throws(HTTPProblem) -> Bool {
        switch self[name] {
        case nil, "false": false
        case "true": true
        default: throw .invalid(name, "is not true or false")
        }
    }
}
