import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Queue
import Store

/// `/v1/schedules`: jobs of this environment that come again and again.
struct SchedulesController {
    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/schedules", [.get: APICall(.readJobs, list)])
        routes.add(
            "/v1/schedules/:name",
            [.get: APICall(.readJobs, show), .put: APICall(.operate, put), .delete: APICall(.operate, delete)])
        routes.add("/v1/schedules/:name/pause", [.post: APICall(.operate) { try await setPaused(true, $1) }])
        routes.add("/v1/schedules/:name/resume", [.post: APICall(.operate) { try await setPaused(false, $1) }])
        routes.add("/v1/schedules/:name/run", [.post: APICall(.operate, run)])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let all = try await services.queue.schedules(environmentID: try context.authenticated().environment.id)
        return try .page(all.map { try JSONCoding.encode(ScheduleBody($0)) }, next: nil)
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let name = try context.parameter("name")
        let environment = try context.authenticated().environment.id
        guard let found = try await services.queue.schedule(name, environmentID: environment) else {
            throw HTTPProblem.missing("schedule")
        }
        return try .json(ScheduleBody(found, runs: try await services.queue.runs(of: found)))
    }

    @Sendable private func put(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let body = try await request.fields(ScheduleFields.self, limit: bodyLimit)
        let environment = try context.authenticated().environment.id
        var schedule = try body.schedule(name: try context.parameter("name"), environmentID: environment)
        schedule.job.arguments = try await ScheduledArguments.resolve(
            kind: schedule.job.kind, arguments: schedule.job.arguments, environmentID: environment, in: services.pool)
        let kept = try await services.queue.setSchedule(schedule)
        return try .json(ScheduleBody(kept), status: kept.createdAt == kept.updatedAt ? .created : .ok)
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let name = try context.parameter("name")
        guard
            try await services.queue.removeSchedule(
                name, environmentID: try context.authenticated().environment.id)
        else { throw HTTPProblem.missing("schedule") }
        return .empty
    }

    private func setPaused(_ paused: Bool, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let kept = try await services.queue.setSchedulePaused(
                paused, name: try context.parameter("name"),
                environmentID: try context.authenticated().environment.id)
        else { throw HTTPProblem.missing("schedule") }
        return try .json(ScheduleBody(kept))
    }

    @Sendable private func run(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let jobID = try await services.queue.runScheduleNow(
                try context.parameter("name"), environmentID: try context.authenticated().environment.id)
        else { throw HTTPProblem.missing("schedule") }
        return Reply(status: .accepted, body: Array(#"{"job_id":"\#(jobID)"}"#.utf8))
    }
}

/// The body that makes or changes a schedule.
private struct ScheduleFields: RequestFields {
    static let fields = [
        "kind", "args", "queue", "priority", "limit_keys", "maximum_attempts", "every_seconds", "cron", "time_zone",
        "starts_at", "ends_at", "missed", "overlap",
    ]
    let kind: String
    let args: JSONObject
    let queue: String?
    let priority: Int16?
    let limit_keys: [String]?
    let maximum_attempts: Int16?
    let every_seconds: Int64?
    let cron: String?
    let time_zone: String?
    let starts_at: Date?
    let ends_at: Date?
    let missed: String?
    let overlap: String?

    func schedule(name: String, environmentID: Int64) throws(HTTPProblem) -> Schedule {
        let rule: ScheduleRule
        switch (every_seconds, cron) {
        case (let seconds?, nil):
            guard time_zone == nil else { throw .invalid("time_zone", "belongs to cron, not to every_seconds") }
            rule = .every(.seconds(seconds))
        case (nil, let text?): rule = .cron(text, timeZone: time_zone ?? "UTC")
        default: throw .invalid("every_seconds", "or cron is needed, and not both")
        }
        let job = NewJob(
            kind: kind, arguments: args.bytes, environmentID: environmentID, queue: queue ?? "default",
            priority: priority ?? 2, maximumAttempts: maximum_attempts ?? 25, limitKeys: limit_keys ?? [])
        return Schedule(
            name: name, job: job, rule: rule, starts: starts_at, ends: ends_at,
            missed: try word(missed, "missed") ?? .once, overlap: try word(overlap, "overlap") ?? .allow)
    }

    private func word<Word: RawRepresentable & CaseIterable>(_ text: String?, _ field: String) throws(HTTPProblem)
        -> Word? where Word.RawValue == String
    {
        guard let text else { return nil }
        guard let word = Word(rawValue: text) else {
            throw .invalid(field, "is not one of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return word
    }
}

struct ScheduleBody: Encodable {
    struct Run: Encodable {
        /// The time the rule named.
        let tick: Date
        let job_id: String?
        let manual: Bool
    }

    let name: String
    let state: String
    let kind: String
    let args: JSONValue
    let queue: String
    let priority: Int16
    let limit_keys: [String]?
    let maximum_attempts: Int16
    var every_seconds: Double?
    var cron: String?
    var time_zone: String?
    let starts_at: Date?
    let ends_at: Date?
    let missed: String
    let overlap: String
    let next_at: Date?
    let last_at: Date?
    let last_job_id: String?
    let fault: String?
    let created_at: Date
    let updated_at: Date
    /// The latest, newest first; only where one schedule is asked for.
    let runs: [Run]?

    init(_ record: ScheduleRecord, runs: [ScheduleRun]? = nil) throws {
        let schedule = record.schedule
        name = schedule.name
        state = record.state.rawValue
        kind = schedule.job.kind
        args = try JSONDecoder().decode(JSONValue.self, from: Data(schedule.job.arguments))
        queue = schedule.job.queue
        priority = schedule.job.priority
        limit_keys = schedule.job.limitKeys
        maximum_attempts = schedule.job.maximumAttempts
        switch schedule.rule {
        case .every(let interval): every_seconds = interval / .seconds(1)
        case .cron(let text, let zone):
            cron = text
            time_zone = zone
        }
        starts_at = schedule.starts
        ends_at = schedule.ends
        missed = schedule.missed.rawValue
        overlap = schedule.overlap.rawValue
        next_at = record.nextAt
        last_at = record.lastAt
        last_job_id = record.lastJobID.map(String.init)
        fault = record.fault
        created_at = record.createdAt
        updated_at = record.updatedAt
        self.runs = runs?.map { Run(tick: $0.tick, job_id: $0.jobID.map(String.init), manual: $0.isManual) }
    }
}
