import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// `evergrant.start_campaign` and its like, as an app's login calls them.
@Suite struct CampaignAppTests {
    /// Three connections in `test`, one in `live`; the login may start refresh and reconnect campaigns in `test`.
    private func prepare(_ world: AppWorld) async throws {
        try await world.fixture.run(
            """
            insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                state, grant_id)
            select x.e, 'test', 'gmail', 'google', 'user', 'u' || x.n, 'active', gen_random_uuid()
            from (values (\(world.test), 1), (\(world.test), 2), (\(world.test), 3), (\(world.live), 4)) x(e, n)
            """)
        _ = try await world.grants.allow(
            role: world.login, environmentID: world.test, kinds: ["campaign.refresh", "campaign.reconnect"])
    }

    private let order = #"'refresh', '{"integration": "gmail"}'"#

    @Test func `a campaign begins with the commit of the app's transaction, and not without it`() async throws {
        try await withApp { world async throws in
            try await prepare(world)
            struct Undone: Error {}
            await #expect(throws: Undone.self) {
                try await world.app.transaction { transaction in
                    _ = try await world.ask(
                        "select evergrant.start_campaign(\(order))", as: String.self, in: transaction)
                    throw Undone()
                }
            }
            #expect(try await world.fixture.count("campaigns") == 0)
            let id = try await world.ask("select evergrant.start_campaign(\(order), key => 'k')", as: String.self)
            let uid = try #require(id)
            #expect(uid.hasPrefix("cmp_"))
            let again = try await world.ask("select evergrant.start_campaign(\(order), key => 'k')", as: String.self)
            #expect(again == uid)
            #expect(try await world.fixture.value("select evergrant.gather_campaign(100)", as: Bool.self))
            let members = try await world.ask(
                "select (evergrant.campaign('\(uid)') ->> 'members')::int", as: Int.self)
            #expect(members == 3)
            #expect(
                try await world.fixture.count("audit where actor = 'role:\(world.login)' and action = 'campaign.start'")
                    == 1)
            for (what, state) in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelling")] {
                let now = try await world.ask("select evergrant.control_campaign('\(uid)', '\(what)')", as: String.self)
                #expect(now == state)
            }
            let refused = try await world.refusal("select evergrant.control_campaign('\(uid)', 'resume')")
            #expect(refused?.sqlState == "EG111")
        }
    }

    @Test func `an app starts only the actions it was allowed, where it was allowed`() async throws {
        try await withApp { world async throws in
            try await prepare(world)
            let refused = [
                (#"'revoke', '{"all": true}'"#, "EG103", "--kind campaign.revoke"),
                (#"'rewrap', '{"all": true}'"#, "EG103", "--kind campaign.rewrap"),
                (#"'refresh', '{"all": true}', environment => 'live'"#, "EG101", "--environment live"),
                (#"'refrehs', '{"all": true}'"#, "EG106", #"did you mean "refresh""#),
                (#"null, '{"all": true}'"#, "EG106", "refresh, validate"),
                (#"'refresh', '{"state": ["broken"]}'"#, "EG106", "evergrant campaigns start refresh --state broken"),
                (#"'refresh', '{"stat": "active"}'"#, "EG106", #"did you mean "state""#),
                (#"'refresh', '{}'"#, "EG106", #"{"all": true}"#), (#"'refresh', null"#, "EG106", #"{"all": true}"#),
                (#"'refresh', '{"all": true}', 'often'"#, "EG106", "600/minute"),
                (#"'refresh', '{"all": true}', key => ''"#, "EG106", "shorter"),
            ]
            for (arguments, code, hint) in refused {
                let error = try await world.refusal("select evergrant.start_campaign(\(arguments))")
                #expect(error?.sqlState == code, "\(arguments): \(error?.description ?? "allowed")")
                #expect(error?.hint?.contains(hint) == true, "\(arguments): \(error?.hint ?? "-")")
            }
            #expect(try await world.fixture.count("campaigns") == 0)
            // One of another environment, and one of an action that the login may not start, are not there.
            for (environment, action) in [(world.live, "refresh"), (world.test, "validate")] {
                let uid = try await world.fixture.value(
                    """
                    select (evergrant.make_campaign(\(environment), '\(action)', '{"all": true}', null, null, null,
                        'cli')).uid
                    """, as: String.self)
                let seen = try await world.ask("select evergrant.campaign('\(uid)')::text", as: String.self)
                #expect(seen == nil)
                let steered = try await world.ask(
                    "select evergrant.control_campaign('\(uid)', 'cancel')", as: String.self)
                #expect(steered == "unknown")
            }
        }
    }

    @Test func `the rows and inner functions of campaigns are closed to apps, and so are their jobs`() async throws {
        try await withApp { world async throws in
            try await prepare(world)
            for sql in [
                "select * from evergrant.campaigns", "select * from evergrant.campaign_members",
                "select evergrant.gather_campaign(1)", "select * from evergrant.admit_campaigns(1)",
                "select evergrant.make_campaign(\(world.test), 'revoke', '{\"all\": true}', null, null, null, 'me')",
                "select evergrant.change_campaign(\(world.test), 'cmp_x', 'cancel', 'me')",
            ] {
                #expect(try await world.refusal(sql)?.sqlState == "42501", "\(sql)")
            }
            _ = try await world.grants.allow(
                role: world.login, environmentID: world.test, kinds: ["campaign.member"])
            for kind in ["campaign.member", "campaign.refresh"] {
                let error = try await world.refusal(
                    "select evergrant.enqueue('\(kind)', '{\"campaign\": 1, \"place\": 1}')")
                #expect(error?.sqlState == "EG106" && error?.hint?.contains("start_campaign") == true, "\(kind)")
            }
        }
    }
}
