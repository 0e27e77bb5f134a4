import Credentials
import Foundation
import Lifecycle
import Postgres
import Store
import Testing

@Suite struct `Campaigns over HTTP` {
    private let order = #"{"action":"reconnect","selection":{"state":"broken"},"rate":"100/minute","note":"moved"}"#

    private func fill(_ world: FrontWorld, _ count: Int) async throws {
        try await world.pool.executeScript(
            PostgresStatement(
                "fill",
                """
                insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                    state, grant_id)
                select \(world.environment.id), 'test', 'gmail', 'google', 'user', 'u' || g, 'broken', gen_random_uuid()
                from generate_series(1, \(count)) g
                """))
    }

    /// A scheduler's look and a worker's run of what is in line.
    private func work(_ world: FrontWorld) async throws {
        let planner = CampaignPlanner(world.lifecycle)
        while try await planner.gather() {}
        try await world.pool.executeScript(
            PostgresStatement("credit", "update evergrant.campaigns set credited_at = now() - interval '1 h'"))
        try await planner.admit()
        let members = try await world.pool.execute(
            PostgresStatement(
                "admitted", "select campaign_id, place from evergrant.campaign_members where state = 'admitted'"))
        let work = CampaignWork(world.lifecycle, refresher: CredentialRefresher(world.lifecycle))
        for row in members {
            let (campaign, place) = try row.decode(Int64.self, Int64.self)
            _ = try await work.perform(campaign: campaign, place: place, environmentID: world.environment.id)
        }
    }

    @Test func `a campaign is previewed, started once for its key, followed, paused, resumed and cancelled`()
        async throws
    {
        try await FrontWorld.with { world in
            try await fill(world, 5)
            let preview = try await world.call(
                "POST", "/v1/campaigns/preview", #"{"action":"reconnect","selection":{"integration":"gmail"}}"#)
            #expect(preview.status == 200 && preview.json["members"] as? Int == 5, "\(preview.text)")
            #expect(try await world.call("GET", "/v1/campaigns").rows.isEmpty)

            let made = try await world.call("POST", "/v1/campaigns", order, headers: [("idempotency-key", "spring")])
            #expect(made.status == 201, "\(made.text)")
            let again = try await world.call("POST", "/v1/campaigns", order, headers: [("idempotency-key", "spring")])
            let path = "/v1/campaigns/\(try made.string("id"))"
            #expect(try again.string("id") == made.string("id"))
            #expect(try made.string("state") == "gathering" && made.string("rate") == "100/minute")
            try await work(world)
            let shown = try await world.call("GET", path)
            #expect(try shown.string("state") == "running")
            let outcomes = try #require(shown.json["outcomes"] as? [String: Int])
            // 100 a minute is one at once, and then one every 0.6 s; the first second's worth is 1.67.
            #expect(outcomes["succeeded"] == 1 && outcomes["queued"] == 4, "\(outcomes)")
            let told = try await world.call("GET", path + "/members?outcome=succeeded")
            #expect(told.rows.count == 1 && told.rows.first?["detail"] as? String == "told")
            let first = try await world.call("GET", path + "/members?limit=2")
            let cursor = try first.string("next_cursor")
            let second = try await world.call("GET", path + "/members?limit=2&cursor=\(cursor)")
            #expect(second.rows.compactMap { $0["place"] as? Int } == [3, 4])

            #expect(try await world.call("POST", path + "/pause").string("state") == "paused")
            #expect(try await world.call("POST", path + "/resume").string("state") == "running")
            #expect(try await world.call("POST", path + "/cancel").string("state") == "cancelling")
            let late = try await world.call("POST", path + "/resume")
            #expect(late.status == 409 && late.code == "campaign_ended", "\(late.text)")
            _ = try await CampaignPlanner(world.lifecycle).tend()
            _ = try await CampaignPlanner(world.lifecycle).tend()
            let end = try await world.call("GET", path)
            #expect(try end.string("state") == "cancelled")
            #expect((end.json["outcomes"] as? [String: Int])?["skipped"] == 4)
            #expect(try await world.call("GET", "/v1/campaigns").rows.count == 1)
            #expect(try await world.call("GET", "/v1/campaigns?at_work=true").rows.isEmpty)
        }
    }

    @Test func `other environments and weaker keys neither see nor steer a campaign`() async throws {
        try await FrontWorld.with { world in
            try await fill(world, 1)
            let made = try await world.call("POST", "/v1/campaigns", order)
            let path = "/v1/campaigns/\(try made.string("id"))"
            let environment = try #require(
                try await Environments.insert(name: "other", mode: .test, redirectOrigins: [], in: world.pool))
            let other = try await FrontWorld.newKey(.full, environment, in: world.pool)
            #expect(try await world.call("GET", "/v1/campaigns", key: other).rows.isEmpty)
            for (method, path) in [
                ("GET", path), ("GET", path + "/members"), ("POST", path + "/pause"), ("POST", path + "/resume"),
                ("POST", path + "/cancel"),
            ] {
                #expect(try await world.call(method, path, key: other).status == 404, "\(method) \(path)")
            }
            for role in APIKeyRole.allCases {
                let key = try await FrontWorld.newKey(role, world.environment, in: world.pool)
                let reads = try await world.call("GET", path, key: key).status
                #expect((reads == 200) == [.full, .read, .connect, .operate].contains(role), "\(role)")
                let starts = try await world.call("POST", "/v1/campaigns", order, key: key).status
                #expect((starts == 201) == [.full, .operate].contains(role), "\(role)")
                let steers = try await world.call("POST", path + "/pause", key: key).status
                #expect((steers == 200) == [.full, .operate].contains(role), "\(role)")
            }
        }
    }

    @Test func `what cannot be started is refused by field`() async throws {
        try await FrontWorld.with { world in
            try await fill(world, 1)
            let refused = [
                (#"{"action":"refresh"}"#, "selection"), (#"{"action":"refresh","selection":{}}"#, "all"),
                (#"{"action":"explode","selection":{"all":true}}"#, "refresh, validate"),
                (#"{"action":"refresh","selection":{"sate":"active"}}"#, #"did you mean \"state\"?"#),
                (#"{"action":"refresh","selection":{"all":true},"rate":"fast"}"#, "600/minute"),
                (#"{"action":"refresh","selection":{"all":true},"colour":"red"}"#, "colour"),
                (#"{"action":"refresh","selection":{"tag":"a\u0000b"}}"#, ""),
            ]
            for (body, words) in refused {
                let answer = try await world.call("POST", "/v1/campaigns", body)
                #expect(
                    answer.status == 400 && (words.isEmpty || answer.text.contains(words)), "\(body): \(answer.text)")
            }
            #expect(try await world.call("GET", "/v1/campaigns").rows.isEmpty)
            #expect(try await world.call("GET", "/v1/campaigns/cmp_x/members?outcome=lost").status == 400)
        }
    }
}
