import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Store
import Testing

@Suite struct CampaignSelectionTests {
    /// Connections that differ in one thing each.
    private static let people = """
        insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity, state,
            reason, tags, missing_scopes, ends_at, grant_id)
        select e.id, 'test', x.integration, x.provider, x.kind, x.identity, x.state, x.reason, x.tags::text[],
            x.scopes::text[], x.ends::timestamptz, gen_random_uuid()
        from evergrant.environments e, (values
            ('gmail', 'google', 'user', 'ada', 'active', null, '{vip}', '{}', null),
            ('gmail', 'google', 'user', 'bob', 'degraded', 'provider_trouble', '{}', '{gmail.send}', null),
            ('gmail', 'google', 'team', 'core', 'broken', 'refused', '{vip,old}', '{}', '2026-03-01'),
            ('slack', 'slack', 'user', 'ada', 'active', null, '{}', '{}', '2030-01-01'),
            ('slack', 'slack', 'user', 'eve', 'revoked', 'deleted', '{}', '{}', null)
        ) x(integration, provider, kind, identity, state, reason, tags, scopes, ends)
        where e.name = 'test'
        """

    @Test(arguments: [
        (#"{"all": true}"#, 4), (#"{"integration": "gmail"}"#, 3), (#"{"integration": ["gmail", "slack"]}"#, 4),
        (#"{"provider": "slack"}"#, 1), (#"{"state": ["broken"]}"#, 1), (#"{"reason": "refused"}"#, 1),
        (#"{"identity": "ada"}"#, 2), (#"{"identity": "ada", "integration": "slack"}"#, 1),
        (#"{"identity_type": "team"}"#, 1), (#"{"tag": "vip"}"#, 2), (#"{"tag": ["old", "new"]}"#, 1),
        (#"{"missing_scope": true}"#, 1), (#"{"missing_scope": "gmail.send"}"#, 1),
        (#"{"missing_scope": "gmail.read"}"#, 0), (#"{"ends_before": "2027-01-01"}"#, 1),
        (#"{"ends_before": "2031-01-01T00:00:00Z"}"#, 2),
    ])
    func `a preview counts what is selected, and the campaign has as many members`(selection: String, count: Int)
        async throws
    {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            try await campaigns.run(Self.people)
            let preview = try await Campaigns.preview(
                CampaignOrder(action: "reconnect", selection: Array(selection.utf8)),
                environmentID: world.environmentID, in: world.pool)
            let object = try #require(try JSONSerialization.jsonObject(with: Data(preview)) as? [String: Any])
            #expect(object["members"] as? Int == count, "\(object)")
            let groups = try #require(object["groups"] as? [[String: Any]])
            #expect(groups.compactMap { $0["members"] as? Int }.reduce(0, +) == count)
            let campaign = try await campaigns.start("reconnect", selection)
            try await campaigns.gather()
            #expect(try await campaigns.sight(campaign).members == count)
        }
    }

    @Test(arguments: [
        ("refresh", "{}", "selection"), ("refresh", "[]", "selection"),
        ("refresh", #"{"integraton": "gmail"}"#, #"did you mean "integration"?"#),
        ("refresh", #"{"integration": "gmial"}"#, "of which this environment has nothing"),
        ("refresh", #"{"state": "activ"}"#, #"did you mean "active"?"#),
        ("refresh", #"{"state": "pending"}"#, "refresh can do nothing"),
        ("validate", #"{"state": "broken"}"#, "validate works on active"),
        ("refresh", #"{"reason": "refusde"}"#, #"did you mean "refused"?"#),
        ("refrehs", #"{"all": true}"#, #"did you mean "refresh"?"#),
        ("refresh", #"{"all": true, "tag": "x"}"#, "leave out all"), ("refresh", #"{"all": false}"#, "leave it out"),
        ("refresh", #"{"tag": []}"#, "1 to 1000 texts"), ("refresh", #"{"tag": [1]}"#, "1 to 1000 texts"),
        ("refresh", #"{"ends_before": "soon"}"#, "2026-12-31"), ("refresh", #"{"ends_before": 5}"#, "2026-12-31"),
        ("refresh", #"{"ends_before": "infinity"}"#, "2026-12-31"),
        ("refresh", #"{"campaign": "cmp_x"}"#, "no campaign of this environment"),
        ("refresh", #"{"outcome": "trouble"}"#, "needs the campaign"),
        ("refresh", #"{"oauth_app": "app_x"}"#, "does not have"),
    ])
    func `what cannot be selected is refused with the field and the repair`(
        action: String, selection: String, words: String
    ) async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            try await campaigns.run(Self.people)
            let error = await #expect(throws: InvalidValue.self) { try await campaigns.start(action, selection) }
            #expect(error?.description.contains(words) == true, "\(error.map(String.init(describing:)) ?? "-")")
            #expect(try await campaigns.count("select count(*) from evergrant.campaigns") == 0)
        }
    }

    @Test(arguments: ["0/second", "10/day", "ten/second", "10", "99999999/second", "-1/minute"])
    func `a rate that is none is refused`(rate: String) async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let error = await #expect(throws: InvalidValue.self) {
                try await campaigns.start("refresh", #"{"all": true}"#, rate: rate)
            }
            #expect(error?.item == "rate" && error?.repair.contains("600/minute") == true)
        }
    }

    @Test func `a key starts one campaign, and cannot stand for another`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let first = try await campaigns.start("refresh", #"{"all": true}"#, rate: "5/s", key: "spring")
            let again = try await campaigns.start("refresh", #"{"all": true}"#, rate: "5/second", key: "spring")
            #expect(first.id == again.id)
            for (action, selection, rate) in [
                ("validate", #"{"all": true}"#, "5/s"), ("refresh", #"{"tag": "x"}"#, "5/s"),
                ("refresh", #"{"all": true}"#, "6/s"),
            ] {
                let error = await #expect(throws: CampaignError.self) {
                    try await campaigns.start(action, selection, rate: rate, key: "spring")
                }
                #expect(error?.code == .keyReused)
            }
            #expect(
                try await campaigns.count("select count(*) from evergrant.audit where action = 'campaign.start'") == 1)
        }
    }

    @Test func `a campaign reaches into no other environment`() async throws {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            try await campaigns.run(Self.people)
            let other = try #require(try await Environments.insert(name: "other", mode: .test, in: world.pool))
            let mine = try await campaigns.start("revoke", #"{"all": true}"#)
            func started() async throws -> CampaignSight {
                try CampaignSight(
                    try await Campaigns.start(
                        CampaignOrder(action: "revoke", selection: Array(#"{"all": true}"#.utf8)),
                        environmentID: other.id, actor: "cli", in: world.pool))
            }
            let theirs = try await started()
            try await campaigns.gather()
            #expect(try await campaigns.sight(mine).members == 4)
            let seen = try await Campaigns.find(uid: theirs.id, environmentID: other.id, in: world.pool)
            #expect(try CampaignSight(try #require(seen)).members == 0)
            #expect(try await Campaigns.find(uid: mine.id, environmentID: other.id, in: world.pool) == nil)
            let members = try await Campaigns.members(
                uid: mine.id, environmentID: other.id, outcomes: CampaignOutcome.allCases, limit: 10, in: world.pool)
            #expect(members == nil)
            let cancelled = try await Campaigns.control(
                .cancel, uid: mine.id, environmentID: other.id, actor: "cli", in: world.pool)
            #expect(cancelled == nil)
            // A forged job of the other environment does nothing.
            try await campaigns.planner.admit()
            _ = try await campaigns.work.perform(campaign: 1, place: 1, environmentID: other.id)
            let states = try await campaigns.count(
                "select count(*) from evergrant.connections where state = 'revoking'")
            #expect(states == 0)
        }
    }
}
