import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Queue
import Sandbox
import Store
import Testing

@Suite struct CampaignTests {
    @Test func `a refresh campaign refreshes each connection once and counts each once by its outcome`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            var connections: [ConnectionRecord] = []
            for number in 0..<3 {
                connections.append(
                    try await world.connect(
                        "strict", account: "u\(number)@example.com", life: 3600, identity: "user-\(number)"))
            }
            let dead = try await world.connect("replayable", account: "dead@example.com", life: 3600, identity: "d")
            try await world.fault("invalid_grant", at: "replayable", count: 1)
            let reconnected = try await world.connect("until-used", account: "r@example.com", life: 3600, identity: "r")
            let campaign = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.gather()
            // Broken by somebody else between its selection and its turn.
            try await campaigns.run("update evergrant.connections set state = 'broken' where id = \(reconnected.id)")
            try await campaigns.drive()
            let end = try await campaigns.sight(campaign)
            let left = try await campaigns.members(campaign, .trouble)
            #expect(end.state == "finished" && end.members == 5 && end.counted == 5, "\(end) \(left)")
            #expect(end[.succeeded] == 3 && end[.refused] == 1 && end[.skipped] == 1, "\(end.outcomes)")
            for connection in connections {
                #expect(try await world.row(connection).generation == 2)
                #expect(try await world.heldRefreshTokenIsAlive(connection))
            }
            #expect(try await world.row(dead).state == .suspected)
            #expect(try await campaigns.members(campaign, .refused).map(\.publicID) == [dead.publicID])
            #expect(try await campaigns.members(campaign, .refused).first?.detail == "suspected: refused")
        }
    }

    @Test func `a member whose job runs again after a crash is not refreshed a second time`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("strict")
            let campaign = try await campaigns.start("refresh", #"{"integration": "sandbox-strict"}"#)
            try await campaigns.gather()
            try await campaigns.planner.admit()
            let member = try #require(try await campaigns.admitted().first)
            // The worker began, refreshed, and died before it could write the outcome.
            _ = try await CampaignMembers.begin(campaign: member.campaign, place: member.place, in: world.pool)
            #expect(try await world.refresh(connection) == .refreshed)
            try await campaigns.drive()
            #expect(world.sandbox.state.grants().map(\.refreshes) == [1])
            #expect(try await campaigns.sight(campaign)[.succeeded] == 1)
            #expect(try await campaigns.members(campaign, .succeeded).first?.detail == "refreshed_by_another")
            #expect(
                try await CampaignMembers.end(
                    campaign: member.campaign, place: member.place, outcome: .trouble, detail: nil, in: world.pool)
                    == 0)
            #expect(try await campaigns.sight(campaign).counted == 1)
        }
    }

    @Test func `an open attempt of somebody else is waited for, and its outcome is the member's`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("strict")
            let gate = try await world.gate("strict", "after")
            async let other = world.refresh(connection)
            try await world.waitAtGate(gate)
            let campaign = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.gather()
            try await campaigns.planner.admit()
            let member = try #require(try await campaigns.admitted().first)
            let step = try await campaigns.work.perform(
                campaign: member.campaign, place: member.place, environmentID: world.environmentID)
            #expect(step == .later(.milliseconds(1)))
            #expect(try await campaigns.sight(campaign)[.running] == 1)
            try await world.open(gate)
            _ = try await other
            try await campaigns.drive()
            #expect(try await campaigns.sight(campaign)[.succeeded] == 1)
            #expect(world.sandbox.state.grants().map(\.refreshes) == [1])
        }
    }

    @Test func `a suspected connection is not asked before its re-test`() async throws {
        var timings = LifecycleWorld.timings
        timings.confirmAfter = .seconds(3600)
        try await LifecycleWorld.with(timings: timings) { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("replayable")
            try await world.fault("invalid_grant", at: "replayable")
            _ = try await world.refresh(connection)
            #expect(try await world.row(connection).state == .suspected)
            let campaign = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.drive()
            #expect(try await campaigns.members(campaign, .skipped).map(\.detail) == ["retest_pending"])
            #expect(world.sandbox.state.grants().map(\.refreshes) == [0])
        }
    }

    @Test func `broken connections are tried again when the selection says so, and recover`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("replayable")
            try await world.fault("invalid_grant", at: "replayable", count: 2)
            _ = try await world.refresh(connection)
            _ = try await world.refresh(connection)
            #expect(try await world.row(connection).state == .broken)
            let without = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.drive()
            #expect(try await campaigns.sight(without).members == 0)
            let campaign = try await campaigns.start("refresh", #"{"state": "broken", "reason": "refused"}"#)
            try await campaigns.drive()
            #expect(try await campaigns.sight(campaign)[.succeeded] == 1)
            #expect(try await world.row(connection).state == .active)
            #expect(try await world.events(connection).last == "connection.recovered")
        }
    }

    @Test func `a revocation campaign revokes at the provider and leaves the retry to the row`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let gone = try await world.connect("strict", account: "a@example.com", life: 3600, identity: "a")
            let stuck = try await world.connect("strict-family", account: "b@example.com", life: 3600, identity: "b")
            try await world.fault("5xx_before", at: "strict-family", endpoint: "revoke")
            let campaign = try await campaigns.start("revoke", #"{"identity": ["a", "b"]}"#)
            try await campaigns.drive()
            let end = try await campaigns.sight(campaign)
            #expect(end[.succeeded] == 1 && end[.trouble] == 1, "\(end.outcomes)")
            #expect(try await world.row(gone).state == .revoked)
            let row = try await world.row(stuck)
            #expect(row.state == .revoking && row.nextAttemptAt != nil)
            #expect(try await ConnectionRevocation(world.services).attempt(connectionID: stuck.id) == nil)
            #expect(world.sandbox.state.grants().allSatisfy { !$0.alive })
            let audited = try await campaigns.count(
                "select count(*) from evergrant.audit where action = 'delete' and actor like 'campaign:cmp_%'")
            #expect(audited == 2)
        }
    }

    @Test func `a validation campaign finds what is alive and what is refused`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            _ = try await world.connect("strict", account: "a@example.com", life: 3600, identity: "a")
            try await campaigns.fill(1, identities: 1, state: "degraded", integration: "sandbox-strict")
            let campaign = try await campaigns.start("validate", #"{"state": ["active"]}"#)
            try await campaigns.drive()
            let end = try await campaigns.sight(campaign)
            #expect(end.members == 1 && end[.succeeded] == 1, "\(end.outcomes)")
        }
    }

    @Test func `a bulk reconnect is one event an identity, without a link, and each member is counted`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world, batch: 3)
            try await campaigns.fill(10, identities: 4, state: "broken")
            let campaign = try await campaigns.start("reconnect", #"{"state": "broken"}"#)
            try await campaigns.gather()
            #expect(try await campaigns.sight(campaign).units == 4)
            // One has reconnected before its turn.
            try await campaigns.run("update evergrant.connections set state = 'active' where id = 5")
            try await campaigns.drive()
            let end = try await campaigns.sight(campaign)
            #expect(end.state == "finished" && end.members == 10 && end[.succeeded] == 9 && end[.skipped] == 1)
            let payloads = try await world.pool.execute(
                PostgresStatement(
                    "test_payloads",
                    """
                    select payload::text from evergrant.events where type = 'connection.reconnect_requested'
                    order by payload ->> 'identity'
                    """)
            ).map { try $0.decode(String.self) }
            #expect(payloads.count == 4)
            #expect(payloads.allSatisfy { !$0.contains("http") && !$0.contains("token") })
            let first = try #require(payloads.first)
            let event = try #require(try JSONSerialization.jsonObject(with: Data(first.utf8)) as? [String: Any])
            #expect(event["identity"] as? String == "user-0" && event["note"] as? String == "spring")
            #expect((event["connections"] as? [[String: Any]])?.count == 2)
            let counts = payloads.compactMap { text in
                text.firstMatch(of: /"connection_count": (\d+)/).flatMap { Int($0.1) }
            }
            #expect(counts.reduce(0, +) == 9)
        }
    }

    @Test func `a follow-up campaign works on what the first one left in trouble`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("replayable", account: "a@example.com", life: 3600, identity: "a")
            _ = try await world.connect("replayable", account: "b@example.com", life: 3600, identity: "b")
            try await world.fault("429", at: "replayable")
            let first = try await campaigns.start("refresh", #"{"all": true}"#)
            try await campaigns.drive()
            let trouble = try await campaigns.members(first, .trouble)
            #expect(trouble.count == 1)
            let second = try await campaigns.start("refresh", #"{"campaign": "\#(first.id)", "outcome": "trouble"}"#)
            try await campaigns.drive()
            let end = try await campaigns.sight(second)
            #expect(end.members == 1 && end[.succeeded] == 1, "\(end.outcomes)")
            #expect(try await campaigns.members(second, .succeeded).map(\.publicID) == trouble.map(\.publicID))
            #expect(try await world.row(connection).state == .active)
        }
    }
}
