import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Pacing
import Store

/// `/v1/events`: the feed.
struct EventsController {
    let services: FrontServices
    let watch: FeedWatch
    let longestWait: Duration

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/events", [.get: APICall(.read, feed)])
        routes.add("/v1/events/:id", [.get: APICall(.read, show)])
    }

    /// Every event once, in order, without gaps: `after` is `next_after` of the last answer.
    @Sendable private func feed(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(request, allowing: ["after", "limit", "types", "connection", "wait"])
        let environmentID = try context.authenticated().environment.id
        let after = query["after"] == nil ? nil : Int64(try query.integer("after", 0...Int.max, default: 0))
        let limit = try query.integer("limit", 1...1000, default: 100)
        let types = try types(query["types"])
        let connectionID = try await connection(query["connection"], environmentID)
        let wait = min(.seconds(try query.integer("wait", 0...60, default: 0)), longestWait)
        let deadline = ContinuousClock.now.advanced(by: wait)
        var place = after
        while true {
            let page = try await Events.page(
                environmentID: environmentID, after: place, types: types, connectionID: connectionID, limit: limit,
                in: services.pool)
            guard let page else { throw HTTPProblem.internalError }
            if let after, place == after { try check(after, page) }
            if !page.events.isEmpty || ContinuousClock.now >= deadline {
                return reply(page)
            }
            place = page.next
            guard await watch.wait(environmentID: environmentID, beyond: page.newest, until: deadline) else {
                return reply(page)
            }
        }
    }

    private func reply(_ page: FeedPage) -> Reply {
        var reply = Reply.page(page.events.map(\.document), next: nil)
        reply.body.removeLast()
        reply.body += Array(",\"next_after\":\(page.next),\"newest\":\(page.newest)}".utf8)
        return reply
    }

    private func check(_ after: Int64, _ page: FeedPage) throws(HTTPProblem) {
        if after < page.pruned {
            var problem = HTTPProblem(
                .gone, "feed_position_pruned", "Events after position \(after) are not kept any more.",
                hint: "read /v1/connections for the state of all, then go on with after=\(page.pruned)")
            problem.oldestPosition = page.pruned + 1
            throw problem
        }
        if after > page.newest {
            // A reader that is ahead would pass over what comes: the database was restored, or the position is another's.
            var problem = HTTPProblem(
                .conflict, "feed_position_unknown", "The feed ends at position \(page.newest), before \(after).",
                hint: "was the database restored? read /v1/connections for the state of all, then go on with "
                    + "after=\(page.newest)")
            problem.newestPosition = page.newest
            throw problem
        }
    }

    private func types(_ text: String?) throws(HTTPProblem) -> [String]? {
        guard let text else { return nil }
        let types = text.split(separator: ",").map(String.init)
        if let unknown = types.first(where: { !Events.types.contains($0) && $0 != Events.testType })
            ?? (types.isEmpty ? "" : nil)
        {
            throw .invalid(
                "types", "has \"\(unknown.prefix(64))\", which is none of \(Events.types.joined(separator: ", "))")
        }
        return types
    }

    private func connection(_ id: String?, _ environmentID: Int64) async throws -> Int64? {
        guard let id else { return nil }
        guard let uid = ConnectionRecord.uid(publicID: id),
            let found = try await Connections.find(uid: uid, environmentID: environmentID, in: services.pool)
        else { throw HTTPProblem.connectionNotFound }
        return found.id
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        guard
            let event = try await Events.find(
                uid: try context.parameter("id"), environmentID: try context.authenticated().environment.id,
                in: services.pool)
        else { throw HTTPProblem.missing("event") }
        return Reply(body: event.document)
    }
}
