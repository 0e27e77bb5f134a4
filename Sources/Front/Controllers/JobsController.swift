import Foundation
import HTTPTypes
import Hummingbird
import Queue
import Store

/// `/v1/jobs` and `/v1/queues`: what the fleet has to do in this environment.
struct JobsController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/jobs", [.get: APICall(.readJobs, list)])
        routes.add("/v1/jobs/:id", [.get: APICall(.readJobs, show)])
        routes.add("/v1/jobs/:id/retry", [.post: APICall(.operate, retry)])
        routes.add("/v1/jobs/:id/cancel", [.post: APICall(.operate, cancel)])
        routes.add("/v1/queues", [.get: APICall(.readJobs, queues)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["state", "kind", "limit", "cursor"])
        if let kind = query["kind"], kind.wholeMatch(of: /[a-z][a-z0-9_.-]{0,99}/) == nil {
            throw HTTPProblem.invalid("kind", "is not a kind of job, such as connection.refresh")
        }
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

    @Sendable private func queues(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Depth: Encodable {
            let queue: String
            let priority: Int16
            let jobs: Int
            /// The count stopped here; there may be more.
            let is_capped: Bool
            let oldest_age_seconds: Double
        }
        let environment = try context.authenticated().environment.id
        let depths = try await services.queue.depths().filter { $0.environmentID == environment }
        return try .page(
            depths.map {
                try JSONCoding.encode(
                    Depth(
                        queue: $0.queue, priority: $0.priority, jobs: $0.jobs, is_capped: $0.isCapped,
                        oldest_age_seconds: $0.oldestAge))
            }, next: nil)
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
