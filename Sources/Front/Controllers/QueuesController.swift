import Foundation
import HTTPTypes
import Hummingbird
import Queue
import Store

/// `/v1/queues`: depths and rates of this environment's queues, and their pauses.
struct QueuesController {
    let services: FrontServices

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/queues", [.get: APICall(.readJobs, list)])
        routes.add("/v1/queues/:name/pause", [.post: APICall(.operate) { try await set(true, $1) }])
        routes.add("/v1/queues/:name/resume", [.post: APICall(.operate) { try await set(false, $1) }])
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        _ = try QueryReader(request, allowing: [])
        let environment = try context.authenticated().environment.id
        let lanes = try await services.queue.lanes(environmentID: environment)
        let paused = try await services.queue.pausedQueues().filter { $0.environmentID == environment }.map(\.name)
        let discarded = try await services.queue.discarded(environmentID: environment).map(DiscardedBody.init)
        var reply = try Reply.page(lanes.map { try JSONCoding.encode(LaneBody($0)) }, next: nil)
        reply.body.removeLast()
        reply.body += Array(",\"paused\":".utf8) + (try JSONCoding.encode(paused))
        reply.body += Array(",\"discarded\":".utf8) + (try JSONCoding.encode(discarded))
        reply.body.append(UInt8(ascii: "}"))
        return reply
    }

    /// A queue is made by its first job; one that never had any is not there to be paused.
    private func set(_ paused: Bool, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: Encodable {
            let queue: String
            let is_paused: Bool
        }
        let name = try context.decodedParameter("name")
        let queue = QueueName(environmentID: try context.authenticated().environment.id, name: name)
        guard try await services.queue.setPaused(paused, queue: queue, making: false) else {
            throw HTTPProblem.missing("queue")
        }
        return try .json(Body(queue: name, is_paused: paused))
    }
}

/// One priority of one queue.
struct LaneBody: Encodable {
    let queue: String
    let priority: Int16
    let is_paused: Bool
    let jobs: Int
    /// The count stopped here; there may be more.
    let is_capped: Bool
    let oldest_age_seconds: Double?
    let running: Int
    let due_soon: Int
    /// Of the last 60 seconds; by what became of a job.
    let per_minute: [String: Double]?

    init(_ lane: LaneStatus) {
        queue = lane.queue
        priority = lane.priority
        is_paused = lane.isPaused
        jobs = lane.jobs
        is_capped = lane.isCapped
        oldest_age_seconds = lane.oldestAge
        running = lane.running
        due_soon = lane.dueSoon
        per_minute = lane.perMinute.map { counts in
            Dictionary(uniqueKeysWithValues: counts.named.map { ($0.name, ($0.value * 10).rounded() / 10) })
        }
    }
}

struct DiscardedBody: Encodable {
    let queue: String
    let kind: String
    let jobs: Int
    let is_capped: Bool
    let oldest: Date

    init(_ count: DiscardedCount) {
        queue = count.queue
        kind = count.kind
        jobs = count.jobs
        is_capped = count.isCapped
        oldest = count.oldest
    }
}
