import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Logging
import Postgres
import Store
import Testing
import Vault

@Suite struct RewrapTests {
    /// Makes a new data key, as its 30 days do.
    private func newDataKey(_ world: LifecycleWorld) async throws -> UUID {
        let keyring = try Keyring(loading: [FileKeySource(world.directory + "/keyring")])
        let (wrapped, _) = try keyring.newDataKey(environmentID: world.environmentID, at: Date())
        return try await DataKeys(pool: world.pool).insert(wrapped).id
    }

    /// How many sealed values there are of each data key.
    private func keys(_ world: LifecycleWorld) async throws -> [String: Int] {
        try await world.pool.execute(
            PostgresStatement(
                "test_keys",
                """
                select encode(substr(x.v, 2, 16), 'hex'), count(*) from (
                    select sealed from evergrant.credentials
                    union all select previous_sealed from evergrant.credentials where previous_sealed is not null
                    union all select sealed from evergrant.alternates
                    union all select client_secret from evergrant.oauth_apps
                    union all select secret from evergrant.webhook_endpoints) x(v)
                group by 1
                """)
        ).reduce(into: [:]) { counts, row in
            let (key, count) = try row.decode(String.self, Int.self)
            counts[key] = count
        }
    }

    private func hex(_ id: UUID) -> String { id.uuidString.lowercased().replacing("-", with: "") }

    @Test func `a rewrap seals every stored secret under the newest data key, and all of them still open`() async throws
    {
        try await LifecycleWorld.with { world in
            let campaigns = CampaignWorld(world)
            let connection = try await world.connect("windowed")
            _ = try await world.refresh(connection)  // now there is a previous one
            let nonce = UUID()
            let alternate = try await world.vault.seal(
                Secret("{}"), .alternateTokens(environmentID: world.environmentID, uid: connection.uid, nonce: nonce))
            let row = try await world.row(connection)
            _ = try await Alternates.add(
                connectionID: row.id, grantID: row.grantID, answersGeneration: 1, nonce: nonce, sealed: alternate,
                issuedAt: Date(), in: world.pool)
            let endpoint = "ep_" + SecureRandom.hex()
            let secret = try await world.vault.seal(
                Secret("whsec"),
                .webhookSecret(environmentID: world.environmentID, endpointUID: endpoint, version: 1))
            try await world.pool.execute(
                PostgresStatement(
                    "test_endpoint",
                    """
                    insert into evergrant.webhook_endpoints (uid, environment_id, name, url, secret)
                    values ($1, $2, 'hook', 'https://app.example.com', $3)
                    """), [.text(endpoint), .int8(world.environmentID), .bytea(secret)])
            let before = try await keys(world)
            #expect(before.count == 1 && before.values.first == 5, "\(before)")

            let newest = try await newDataKey(world)
            let campaign = try await campaigns.start("rewrap", #"{"all": true}"#)
            try await campaigns.drive()
            let end = try await campaigns.sight(campaign)
            #expect(end.state == "finished" && end.members == 3 && end[.succeeded] == 3, "\(end)")
            #expect(try await keys(world) == [hex(newest): 5])
            let subjects = try await campaigns.members(campaign, .succeeded).map(\.subject)
            #expect(subjects == ["connection", "oauth_app", "webhook_endpoint"])
            // The grant works as before: same generation, no event, and the provider was not asked.
            #expect(try await world.row(connection).generation == 2)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            #expect(try await world.refresh(connection) == .refreshed)
            let places = try await SealedPlaces.ofWebhookEndpoint(
                id: 1, environmentID: world.environmentID, in: world.pool)
            let place = try #require(places.first)
            #expect(try await world.vault.open(place.sealed, place.context) == Secret("whsec"))

            let again = try await campaigns.start("rewrap", #"{"all": true}"#)
            try await campaigns.drive()
            #expect(Set(try await campaigns.members(again, .succeeded).map(\.detail)) == ["current"])
        }
    }

    @Test func `a token that was refreshed after the rewrap read it is not written back`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let places = try await SealedPlaces.ofConnection(
                id: connection.id, environmentID: world.environmentID, in: world.pool)
            let read = try #require(places.first)
            let old = try CredentialVault.dataKeyID(of: read.sealed)
            _ = try await newDataKey(world)
            let anew = try #require(try await world.vault.rewrap(read.sealed, read.context))
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await SealedPlaces.replace(read, with: anew, dataKeyID: old, in: world.pool) == false)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            // Nor by a second rewrap of the same generation that is late.
            let second = try await world.connect("replayable")
            let sealed = try await SealedPlaces.ofConnection(
                id: second.id, environmentID: world.environmentID, in: world.pool)
            let place = try #require(sealed.first)
            let key = try CredentialVault.dataKeyID(of: place.sealed)
            #expect(
                try await SealedPlaces.replace(place, with: place.sealed, dataKeyID: UUID(), in: world.pool) == false)
            #expect(try await SealedPlaces.replace(place, with: place.sealed, dataKeyID: key, in: world.pool))
        }
    }

    @Test func `an answer whose journal line may still be replayed keeps its bytes`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            _ = try await newDataKey(world)
            let before = try await Validations.current(connectionID: connection.id, in: world.pool)
            let result = try await SecretRewrap(world.services).rewrap(
                subject: "connection", id: connection.id, environmentID: world.environmentID)
            #expect(result == .issuedLately)
            #expect(try await Validations.current(connectionID: connection.id, in: world.pool) == before)
        }
    }
}
