import Credentials
import Foundation
import Lifecycle
import Postgres
import Queue
import Store
import Testing

@Suite struct `Schedules over HTTP` {
    private func body(_ connection: String, _ more: String = #""cron":"30 2 * * MON-FRI","time_zone":"Europe/Berlin""#)
        -> String
    { #"{"kind":"connection.validate","args":{"connection":"\#(connection)"},\#(more)}"# }

    @Test func `a schedule is made, changed, paused, resumed, run and removed`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let path = "/v1/schedules/nightly.probe"
            #expect(try await world.call("GET", path).status == 404)
            let made = try await world.call("PUT", path, body(id))
            #expect(made.status == 201, "\(made.text)")
            #expect(try made.string("state") == "active" && made.string("time_zone") == "Europe/Berlin")
            let again = try await world.call("PUT", path, body(id))
            #expect(again.status == 200)
            #expect(try again.string("next_at") == made.string("next_at"))
            let changed = try await world.call("PUT", path, body(id, #""every_seconds":3600,"overlap":"skip""#))
            #expect(changed.json["every_seconds"] as? Double == 3600 && changed.json["cron"] == nil)

            #expect(try await world.call("POST", path + "/pause").string("state") == "paused")
            let run = try await world.call("POST", path + "/run")
            #expect(run.status == 202)
            let job = try await world.call("GET", "/v1/jobs/\(try run.string("job_id"))")
            #expect(try job.string("kind") == "connection.validate" && job.string("state") == "available")
            let second = try await world.call("POST", path + "/run")
            #expect(second.status == 409 && second.code == "schedule_overlap")
            #expect(try await world.call("POST", path + "/resume").string("state") == "active")

            // A tick of a scheduler.
            _ = try await world.call("POST", "/v1/jobs/\(try run.string("job_id"))/cancel")
            try await world.pool.executeScript(
                PostgresStatement("due", "update evergrant.schedules set next_at = now() - interval '1 s'"))
            #expect(try await ScheduleRunner(queue: world.lifecycle.queue).run() == 1)
            let shown = try await world.call("GET", path)
            let runs = try #require(shown.json["runs"] as? [[String: Any]])
            #expect(runs.count == 2 && runs.compactMap { $0["manual"] as? Bool }.filter(\.self).count == 1)
            #expect(runs.contains { $0["job_id"] as? String == (try? shown.string("last_job_id")) })
            #expect(try await world.call("GET", "/v1/schedules").rows.count == 1)
            #expect(try await world.call("DELETE", path).status == 204)
            #expect(try await world.call("DELETE", path).status == 404)
            #expect(try await world.call("GET", "/v1/schedules").rows.isEmpty)
        }
    }

    @Test func `a schedule reaches into no other environment, and other keys neither see nor change it`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let number = try #require(
                try await world.pool.execute(PostgresStatement("id", "select id from evergrant.connections")).first
            ).decode(Int64.self)
            let path = "/v1/schedules/mine"
            #expect(try await world.call("PUT", path, body(id)).status == 201)
            let environment = try #require(
                try await Environments.insert(name: "other", mode: .test, redirectOrigins: [], in: world.pool))
            let other = try await FrontWorld.newKey(.full, environment, in: world.pool)
            #expect(try await world.call("GET", "/v1/schedules", key: other).rows.isEmpty)
            for (method, path) in [
                ("GET", path), ("DELETE", path), ("POST", path + "/pause"), ("POST", path + "/resume"),
                ("POST", path + "/run"),
            ] {
                #expect(try await world.call(method, path, key: other).status == 404, "\(method) \(path)")
            }
            for args in [#"{"connection":"\#(id)"}"#, #"{"connection":\#(number)}"#, #"{"connection":999}"#] {
                for kind in ["validate", "revoke"] {
                    let answer = try await world.call(
                        "PUT", path, #"{"kind":"connection.\#(kind)","args":\#(args),"cron":"@daily"}"#, key: other)
                    #expect(answer.status == 400 && answer.text.contains("does not have"), "\(answer.text)")
                }
            }
            for role in APIKeyRole.allCases {
                let key = try await FrontWorld.newKey(role, world.environment, in: world.pool)
                let reads = try await world.call("GET", path, key: key).status
                #expect((reads == 200) == [.full, .read, .enqueue, .operate].contains(role), "\(role)")
                let writes = try await world.call("PUT", path, body(id), key: key).status
                #expect((writes == 200) == [.full, .operate].contains(role), "\(role)")
            }
        }
    }

    @Test func `what cannot be scheduled is refused by field, and nothing is kept`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let refused: [(String, String)] = [
                (body(id, #""cron":"61 * * * *""#), "61"), (body(id, #""cron":"0 0 30 2 *""#), "five years"),
                (body(id, #""cron":"@daily","time_zone":"CST""#), "Europe/Berlin"),
                (body(id, #""cron":"@daily","every_seconds":60"#), "not both"), (body(id, #""queue":"q""#), "not both"),
                (body(id, #""every_seconds":0"#), "at least"),
                (body(id, #""every_seconds":9223372036854775807"#), "five"),
                (body(id, #""every_seconds":60,"time_zone":"UTC""#), "belongs to cron"),
                (body(id, #""cron":"@daily","missed":"never""#), "once, all, skip"),
                (body(id, #""cron":"@daily","priority":5000"#), "priority"),
                (body(id, #""cron":"@daily","colour":"red""#), "colour"),
                (#"{"kind":"mail.send","args":{},"cron":"@daily"}"#, "connection.validate"),
                (#"{"kind":"connection.validate","args":{},"cron":"@daily"}"#, "conn_"),
                (#"{"kind":"connection.validate","args":[],"cron":"@daily"}"#, "args"),
                (#"{"kind":"webhook.deliver","args":{"delivery":1},"cron":"@daily"}"#, "does not have"),
            ]
            for (body, words) in refused {
                let answer = try await world.call("PUT", "/v1/schedules/x", body)
                #expect(answer.status == 400 && answer.text.contains(words), "\(body): \(answer.text)")
            }
            #expect(try await world.call("PUT", "/v1/schedules/Bad", body(id)).status == 400)
            #expect(try await world.call("GET", "/v1/schedules").rows.isEmpty)
        }
    }
}
