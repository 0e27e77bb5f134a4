import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Queue
import Store

/// A campaign in a lifecycle world, driven by hand: a step of a scheduler or of a worker at a time.
struct CampaignWorld: Sendable {
    let world: LifecycleWorld
    let planner: CampaignPlanner
    let work: CampaignWork

    init(_ world: LifecycleWorld, inFlight: Int = 32, batch: Int = 5000, looks: Int = 24) {
        self.world = world
        var limits = CampaignLimits()
        limits.inFlight = inFlight
        limits.gatherBatch = batch
        planner = CampaignPlanner(world.services, limits: limits)
        work = CampaignWork(
            world.services, refresher: CredentialRefresher(world.services),
            rewrap: SecretRewrap(world.services, settles: .zero), lookEvery: .milliseconds(1), looks: looks)
    }

    /// Starts a campaign and returns its document.
    @discardableResult
    func start(_ action: String, _ selection: String, rate: String? = nil, key: String? = nil) async throws
        -> CampaignSight
    {
        try CampaignSight(
            try await Campaigns.start(
                CampaignOrder(action: action, selection: Array(selection.utf8), rate: rate, key: key, note: "spring"),
                environmentID: world.environmentID, actor: "cli", in: world.pool))
    }

    func sight(_ campaign: CampaignSight) async throws -> CampaignSight {
        guard
            let document = try await Campaigns.find(
                uid: campaign.id, environmentID: world.environmentID, in: world.pool)
        else { throw InvalidValue(item: campaign.id, problem: "is gone", repair: "keep it") }
        return try CampaignSight(document)
    }

    func control(_ what: CampaignControl, _ campaign: CampaignSight) async throws {
        _ = try await Campaigns.control(
            what, uid: campaign.id, environmentID: world.environmentID, actor: "cli", in: world.pool)
    }

    func gather() async throws { while try await planner.gather() {} }

    /// Members whose jobs are in line or at work.
    func admitted() async throws -> [(campaign: Int64, place: Int64)] {
        try await world.pool.execute(
            PostgresStatement(
                "test_admitted",
                """
                select campaign_id, place from evergrant.campaign_members where state in ('admitted', 'running')
                order by campaign_id, place
                """)
        ).map { row in
            let (campaign, place) = try row.decode(Int64.self, Int64.self)
            return (campaign, place)
        }
    }

    /// A worker runs what is in line, once.
    func runAdmitted() async throws {
        for member in try await admitted() {
            _ = try await work.perform(
                campaign: member.campaign, place: member.place, environmentID: world.environmentID)
        }
    }

    /// Schedulers and workers until nothing more happens.
    func drive() async throws {
        try await gather()
        for _ in 0..<200 {
            let count = try await planner.admit()
            try await runAdmitted()
            _ = try await planner.tend()
            let isIdle = try await admitted().isEmpty
            if count == 0 && isIdle { break }
        }
        try await planner.admit()
    }

    func members(_ campaign: CampaignSight, _ outcome: CampaignOutcome) async throws -> [CampaignMemberRecord] {
        try await Campaigns.members(
            uid: campaign.id, environmentID: world.environmentID, outcomes: [outcome], limit: 1000, in: world.pool)
            ?? []
    }

    func count(_ sql: String) async throws -> Int {
        try await world.pool.execute(PostgresStatement("test_count", sql)).first?.decode(Int.self) ?? -1
    }

    func run(_ sql: String) async throws {
        try await world.pool.executeScript(PostgresStatement("test_script", sql))
    }

    /// Connections without credentials, many at once: `count` of identity user-<n % identities>.
    func fill(_ count: Int, identities: Int, state: String = "active", integration: String = "sandbox-replayable")
        async throws
    {
        try await run(
            """
            insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                state, grant_id)
            select \(world.environmentID), 'test', '\(integration)', 'sandbox-replayable', 'user',
                'user-' || g % \(identities), '\(state)', gen_random_uuid()
            from generate_series(1, \(count)) g
            """)
    }
}

/// What a campaign's document says.
struct CampaignSight: Decodable, Sendable {
    let id: String
    let state: String
    let members: Int
    let units: Int
    let outcomes: [String: Int]

    init(_ document: [UInt8]) throws {
        self = try JSONDecoder().decode(CampaignSight.self, from: Data(document))
    }

    subscript(_ outcome: CampaignOutcome) -> Int { outcomes[outcome.rawValue] ?? -1 }
    var counted: Int { outcomes.values.reduce(0, +) }
}
