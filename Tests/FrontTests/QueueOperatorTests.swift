import Credentials
import Foundation
import Lifecycle
import Postgres
import Queue
import Store
import Testing

/// What operators see and do over HTTP.
@Suite struct QueueOperatorTests {
    private func enqueue(
        _ world: FrontWorld, _ count: Int, kind: String = "test.kind", limitKeys: [String] = [],
        environmentID: Int64? = nil
    ) async throws -> [Int64] {
        try await world.lifecycle.queue.enqueue(
            (0..<count).map { _ in
                NewJob(
                    kind: kind, arguments: Array("{}".utf8), environmentID: environmentID ?? world.environment.id,
                    limitKeys: limitKeys)
            }
        ).compactMap(\.jobID)
    }

    /// Moves all that is in line to discarded.
    private func discardAll(_ world: FrontWorld) async throws {
        try await world.pool.executeScript(
            PostgresStatement(
                "discard",
                """
                with d as (delete from evergrant.jobs_ready r returning r)
                insert into evergrant.jobs_discarded (job_id, job)
                select (r).id, evergrant.changed(
                    r, 25, 0, '{"type": "TimedOut", "message": "no answer", "attempt": 25}', null)
                from d;
                """))
    }

    private func other(_ world: FrontWorld) async throws -> (key: String, environmentID: Int64) {
        let environment = try #require(
            try await Environments.insert(name: "other", mode: .test, redirectOrigins: [], in: world.pool))
        return (try await FrontWorld.newKey(.full, environment, in: world.pool), environment.id)
    }

    @Test func `a redrive is previewed, done, and touches no other environment`() async throws {
        try await FrontWorld.with { world in
            let other = try await other(world)
            let mine = try await enqueue(world, 7)
            _ = try await enqueue(world, 3, environmentID: other.environmentID)
            try await discardAll(world)
            let preview = try await world.call(
                "POST", "/v1/jobs/retry", #"{"kind":"test.kind","error":"TimedOut","preview":true}"#)
            #expect(preview.status == 200 && preview.json["jobs"] as? Int == 7, "\(preview.text)")
            let groups = try #require(preview.json["errors"] as? [[String: Any]])
            #expect(groups.map { $0["example_message"] as? String } == ["no answer"])
            let listed = try await world.call("GET", "/v1/queues")
            let discarded = try #require(listed.json["discarded"] as? [[String: Any]])
            #expect(discarded.map { $0["jobs"] as? Int } == [7], "\(listed.text)")

            let some = try await world.call("POST", "/v1/jobs/retry", #"{"kind":"test.kind","limit":4}"#)
            #expect(some.json["moved"] as? Int == 4 && some.json["is_done"] as? Bool == false, "\(some.text)")
            let deleted = try await world.call(
                "POST", "/v1/jobs/delete", #"{"kind":"test.kind","since":"2020-01-01T00:00:00Z"}"#)
            #expect(deleted.json["moved"] as? Int == 3 && deleted.json["is_done"] as? Bool == true, "\(deleted.text)")
            let states = try await mine.asyncMap { try await world.lifecycle.queue.find($0)?.state.rawValue ?? "" }
            #expect(states.filter { $0 == "available" }.count == 4 && states.filter { $0 == "deleted" }.count == 3)
            let theirs = try await world.call(
                "POST", "/v1/jobs/delete", #"{"kind":"test.kind","preview":true}"#, key: other.key)
            #expect(theirs.json["jobs"] as? Int == 3)

            for body in [
                "{}", #"{"kind":"No"}"#, #"{"kind":"a","limit":0}"#, #"{"kind":"a","since":"yesterday"}"#,
                #"{"kind":"a","error":""}"#, #"{"kind":"a","environment":"other"}"#,
            ] {
                let answer = try await world.call("POST", "/v1/jobs/retry", body)
                #expect(answer.status == 400, "\(body): \(answer.text)")
            }
            let nothing = try await world.call("POST", "/v1/jobs/retry", #"{"kind":"never.was"}"#)
            #expect(nothing.json["moved"] as? Int == 0)
        }
    }

    @Test func `a job's explanation names what holds it, to its own environment only`() async throws {
        try await FrontWorld.with { world in
            let other = try await other(world)
            let job = try #require(try await enqueue(world, 1).first)
            let paused = try await world.call("POST", "/v1/queues/default/pause")
            #expect(paused.json["is_paused"] as? Bool == true, "\(paused.text)")
            let why = try await world.call("GET", "/v1/jobs/\(job)/explain")
            #expect(why.status == 200 && why.json["needs_operator"] as? Bool == true, "\(why.text)")
            let codes = (why.json["reasons"] as? [[String: Any]])?.compactMap { $0["code"] as? String }
            #expect(codes == ["queue_paused", "no_worker", "in_line"])
            #expect(try await world.call("GET", "/v1/jobs/\(job)/explain", key: other.key).status == 404)
            #expect(try await world.call("GET", "/v1/jobs/99999/explain").status == 404)

            let lanes = try await world.call("GET", "/v1/queues")
            #expect(lanes.rows.first?["is_paused"] as? Bool == true && lanes.json["paused"] as? [String] == ["default"])
            #expect(try await world.call("GET", "/v1/queues", key: other.key).rows.isEmpty)
            #expect(try await world.call("POST", "/v1/queues/default/pause", key: other.key).status == 404)
            #expect(try await world.call("POST", "/v1/queues/default/resume").json["is_paused"] as? Bool == false)
            #expect(try await world.call("POST", "/v1/queues/never%2Fwas/pause").status == 404)
        }
    }

    @Test func `limits are of the environment's own keys, as its app names them`() async throws {
        try await FrontWorld.with { world in
            let other = try await other(world)
            let made = try await world.call("PUT", "/v1/limits/mail%2Fout", #"{"concurrency":3,"rate_per_second":2.5}"#)
            #expect(made.status == 200 && made.json["key"] as? String == "mail/out", "\(made.text)")
            let stored = try await world.lifecycle.queue.limits().map(\.limit.key)
            #expect(stored == ["app:test:mail/out"])
            try await world.lifecycle.queue.setLimit(JobLimit(key: "ours", concurrency: 1))
            #expect(try await world.call("GET", "/v1/limits").rows.count == 1)
            #expect(try await world.call("GET", "/v1/limits", key: other.key).rows.isEmpty)
            #expect(try await world.call("GET", "/v1/limits/mail%2Fout", key: other.key).status == 404)
            #expect(try await world.call("DELETE", "/v1/limits/ours").status == 404)

            let blocked = try await world.call(
                "POST", "/v1/limits/mail%2Fout/block", #"{"seconds":90,"because":"429"}"#)
            #expect(blocked.json["blocked_because"] as? String == "429", "\(blocked.text)")
            let job = try #require(try await enqueue(world, 1, limitKeys: ["app:test:mail/out"]).first)
            let why = try await world.call("GET", "/v1/jobs/\(job)/explain")
            let reasons = why.json["reasons"] as? [[String: Any]] ?? []
            #expect(reasons.contains { $0["code"] as? String == "limit_blocked" && $0["until"] != nil }, "\(why.text)")

            for key in ["a:b", "ä", "c c"] {
                let path = key.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? key
                #expect(try await world.call("PUT", "/v1/limits/\(path)", #"{"concurrency":0}"#).status == 200)
            }
            var seen: [String] = []
            var cursor: String?
            repeat {
                let page = try await world.call(
                    "GET",
                    "/v1/limits?limit=1"
                        + (cursor.map {
                            "&cursor=\($0.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? $0)"
                        }
                            ?? ""))
                seen += page.rows.compactMap { $0["key"] as? String }
                cursor = page.json["next_cursor"] as? String
            } while cursor != nil && seen.count < 9
            #expect(Set(seen) == ["a:b", "ä", "c c", "mail/out"] && seen.count == 4)

            for (path, body) in [
                ("x", "{}"), ("x", #"{"burst":2,"concurrency":1}"#), ("x", #"{"concurrency":-1}"#),
                ("x", #"{"rate_per_second":0}"#), ("%FF", #"{"concurrency":1}"#), ("%0A", #"{"concurrency":1}"#),
                (String(repeating: "k", count: 192), #"{"concurrency":1}"#),
            ] {
                let answer = try await world.call("PUT", "/v1/limits/\(path)", body)
                #expect(answer.status == 400, "\(path.prefix(9)) \(body): \(answer.text)")
            }
            #expect(try await world.call("DELETE", "/v1/limits/mail%2Fout").status == 204)
            #expect(try await world.call("GET", "/v1/limits/mail%2Fout").status == 404)
        }
    }

    @Test func `who may only look at jobs changes nothing`() async throws {
        try await FrontWorld.with { world in
            let reader = try await FrontWorld.newKey(.read, world.environment, in: world.pool)
            _ = try await enqueue(world, 1)
            for (method, path, body) in [
                ("POST", "/v1/queues/default/pause", nil), ("PUT", "/v1/limits/x", #"{"concurrency":1}"#),
                ("DELETE", "/v1/limits/x", nil), ("POST", "/v1/limits/x/block", #"{"seconds":1}"#),
                ("POST", "/v1/jobs/retry", #"{"kind":"a"}"#), ("POST", "/v1/jobs/delete", #"{"kind":"a"}"#),
            ] as [(String, String, String?)] {
                #expect(try await world.call(method, path, body, key: reader).status == 403, "\(method) \(path)")
            }
            for path in ["/v1/queues", "/v1/limits"] {
                #expect(try await world.call("GET", path, key: reader).status == 200)
            }
        }
    }
}

extension Array {
    fileprivate func asyncMap<T>(_ body: (Element) async throws -> T) async throws -> [T] {
        var results: [T] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
