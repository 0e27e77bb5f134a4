import Foundation
import HTTPTypes
import Hummingbird
import Queue
import Store

/// `/v1/jobs`: what the fleet has to do in this environment.
struct JobsController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/jobs", [.get: APICall(.readJobs, list)])
        routes.add("/v1/jobs/:id", [.get: APICall(.readJobs, show)])
        routes.add("/v1/jobs/:id/retry", [.post: APICall(.operate, retry)])
        routes.add("/v1/jobs/:id/cancel", [.post: APICall(.operate, cancel)])
        routes.add("/v1/jobs/:id/explain", [.get: APICall(.readJobs, explain)])
        routes.add("/v1/jobs/retry", [.post: APICall(.operate) { try await redrive(.retry, $0, $1) }])
        routes.add("/v1/jobs/delete", [.post: APICall(.operate) { try await redrive(.delete, $0, $1) }])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["state", "kind", "limit", "cursor"])
        try query["kind"].map(Self.checkKind)
        let page = try await services.queue.list(
            JobFilter(
                state: try query.word("state", JobState.self), kind: query["kind"],
                environmentID: try context.authenticated().environment.id,
                limit: try query.integer("limit", 1...200, default: 50),
                cursor: query["cursor"].flatMap { $0.isEmpty ? nil : $0 }))
        return try .page(page.jobs.map { try JSONCoding.encode(JobBody($0)) }, next: page.cursor)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(JobBody(try await find(context)))
    }

    @Sendable private func retry(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        guard try await services.queue.retry([found.jobID]) == 1 else {
            throw HTTPProblem(
                .conflict, "not_discarded", "This job is \(found.state.rawValue): only a discarded one can be retried.")
        }
        return try .json(JobBody(try await find(context)))
    }

    @Sendable private func cancel(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let result = try await services.queue.cancel(found.jobID)
        guard result != .unknown else {
            throw HTTPProblem(.conflict, "job_ended", "This job has ended.")
        }
        return Reply(status: .accepted, body: Array(#"{"result":"\#(result.rawValue)"}"#.utf8))
    }

    @Sendable private func explain(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let diagnosis = try await services.queue.explain(try await find(context).jobID)
        guard let state = diagnosis.state else { throw HTTPProblem.missing("job") }
        return try .json(DiagnosisBody(diagnosis, state: state))
    }

    /// Runs again, or deletes, what is selected of this environment's discarded jobs; with `preview` tells what that is.
    private func redrive(
        _ what: Redrive, _ request: Request, _ context: FrontRequestContext
    ) async throws -> Reply {
        let body = try await request.fields(RedriveRequest.self, limit: bodyLimit)
        let selection = try body.selection(environmentID: try context.authenticated().environment.id)
        guard body.preview != true else {
            return try .json(RedrivePreviewBody(try await services.queue.preview(selection, cap: 10_000)))
        }
        let done = try await services.queue.redrive(selection, what, limit: body.limit ?? 10_000)
        return try .json(RedriveBody(moved: done.moved, kept: done.kept, is_done: done.isDone))
    }

    static func checkKind(_ kind: String) throws(HTTPProblem) {
        guard kind.wholeMatch(of: /[a-z][a-z0-9_.-]{0,99}/) != nil else {
            throw .invalid("kind", "is not a kind of job, such as connection.refresh")
        }
    }

    private func find(_ context: FrontRequestContext) async throws -> JobRecord {
        guard let id = Int64(try context.parameter("id")), let found = try await services.queue.find(id),
            found.environmentID == (try context.authenticated().environment.id)
        else { throw HTTPProblem.missing("job") }
        return found
    }
}

struct JobBody: Encodable {
    struct Attempt: Encodable {
        let type: String
        let message: String
        let attempt: Int?
        let at: String?
    }

    let id: String
    let state: String
    let kind: String
    let queue: String
    let priority: Int16?
    let attempt: Int
    let maximum_attempts: Int?
    let unique_key: String?
    let args: JSONValue
    let errors: [Attempt]
    let created_at: Date
    let at: Date?

    init(_ job: JobRecord) throws {
        id = String(job.jobID)
        state = job.state.rawValue
        kind = job.kind
        queue = job.queue
        priority = job.priority
        attempt = job.attempt
        maximum_attempts = job.maximumAttempts
        unique_key = job.uniqueKey
        args = try JSONDecoder().decode(JSONValue.self, from: Data(job.arguments))
        errors = job.errors.map { Attempt(type: $0.type, message: $0.message, attempt: $0.attempt, at: $0.at) }
        created_at = job.createdAt
        at = job.at
    }
}
