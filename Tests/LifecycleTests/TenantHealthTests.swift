import Catalog
import Credentials
import Foundation
import LifecycleSupport
import OAuth
import Pacing
import Store
import Testing

@testable import Lifecycle

/// OAuth apps whose connections have token endpoints of their own, as at Salesforce.
@Suite(.timeLimit(.minutes(5))) struct TenantHealthTests {
    private struct Tenants {
        let world: LifecycleWorld
        let provider: Provider
        let appID: Int64

        func endpoint(_ tenant: Int) -> TokenEndpoint {
            TokenEndpoint(
                appID: appID, provider: provider,
                app: OAuthApp(clientID: "c", clientSecret: nil, redirectURI: ""),
                facts: ["domain": "t\(tenant).my.salesforce.com"], connectionID: Int64(tenant))
        }
    }

    private func withTenants(_ body: (Tenants, ProviderHealth) async throws -> Void) async throws {
        var timings = LifecycleWorld.timings
        timings.health.faultSettle = .milliseconds(1)
        try await LifecycleWorld.with(timings: timings) { world in
            let provider = try #require(world.catalog.provider("salesforce"))
            let app = try await OAuthApps.insert(
                uid: "app_t", environmentID: world.environmentID, provider: "salesforce", clientID: "c",
                sealedSecret: nil, parameters: [:], in: world.pool)
            try await body(
                Tenants(world: world, provider: provider, appID: app.id), world.services.health)
        }
    }

    @Test func `each tenant has an endpoint of its own, and the app one above them`() async throws {
        try await withTenants { tenants, _ in
            let keys = tenants.endpoint(1).keys
            #expect(keys.map(\.host) == ["t1.my.salesforce.com", ""])
            #expect(keys.map(\.isWhole) == [false, true])
        }
    }

    @Test func `one tenant that refuses the app stops nobody, a second with nobody served between stops all, once`()
        async throws
    {
        try await withTenants { tenants, health in
            let start = Date()
            _ = await health.note(.appFault(reason: "invalid_client"), tenants.endpoint(1), at: start)
            let other = try await health.admit(tenants.endpoint(2), at: start, suspendedSince: nil)
            #expect(other == .send)
            _ = await health.note(.appFault(reason: "invalid_client"), tenants.endpoint(2), at: start)
            try await tenants.world.eventually {
                _ = await health.note(.appFault(reason: "invalid_client"), tenants.endpoint(3), at: Date())
                return try await tenants.world.operatorEvents() == ["oauth_app.suspended"]
            }
            guard
                case .wait(.appFault, _) = try await health.admit(
                    tenants.endpoint(4), at: Date().addingTimeInterval(1), suspendedSince: nil)
            else {
                Issue.record("a fourth tenant was let through")
                return
            }
            _ = await health.note(
                .served(isRetest: false), tenants.endpoint(4), at: Date().addingTimeInterval(5))
            let told = try await tenants.world.operatorEvents()
            #expect(told == ["oauth_app.suspended", "oauth_app.resumed"])
        }
    }

    @Test func `a tenant who is served between two refusals contradicts them`() async throws {
        try await withTenants { tenants, health in
            let start = Date()
            _ = await health.note(.appFault(reason: "invalid_client"), tenants.endpoint(1), at: start)
            _ = await health.note(.served(isRetest: false), tenants.endpoint(2), at: start.addingTimeInterval(1))
            for _ in 0..<3 {
                _ = await health.note(
                    .appFault(reason: "invalid_client"), tenants.endpoint(3), at: start.addingTimeInterval(0.5))
            }
            let told = try await tenants.world.operatorEvents()
            #expect(told == [])
        }
    }

    @Test func `a tenant whose endpoint is away has a breaker of its own`() async throws {
        try await withTenants { tenants, health in
            for _ in 0..<5 { _ = await health.note(.trouble("503"), tenants.endpoint(1), at: Date()) }
            let now = Date().addingTimeInterval(1)
            guard case .wait = try await health.admit(tenants.endpoint(1), at: now, suspendedSince: nil) else {
                Issue.record("the tenant's breaker is closed")
                return
            }
            let other = try await health.admit(tenants.endpoint(2), at: now, suspendedSince: nil)
            #expect(other == .send)
            let told = try await tenants.world.operatorEvents()
            #expect(told == [])
        }
    }

    @Test func `refusals of many tenants are one wave, though each has one user`() async throws {
        try await withTenants { tenants, health in
            for tenant in 1...5 {
                _ = await health.note(.refused(isRetest: false), tenants.endpoint(tenant), at: Date())
            }
            #expect(health.wave(tenants.endpoint(6), at: Date())?.key.host == "")
            let told = try await tenants.world.operatorEvents()
            #expect(told == ["provider.wave_began"])
        }
    }

    @Test func `an app that is suspended without a row is taken care of all the same`() async throws {
        try await withTenants { tenants, health in
            try await tenants.world.run("update evergrant.oauth_apps set suspended_at = now()")
            let now = Date()
            guard
                case .wait(.appFault, _) = try await health.admit(tenants.endpoint(1), at: now, suspendedSince: now)
            else {
                Issue.record("a suspended app was let through")
                return
            }
            let rows = try await tenants.world.number(
                "select count(*) from evergrant.token_hosts where quarantined_at is not null and tend_at <= now()")
            #expect(rows == 1)
        }
    }
}
