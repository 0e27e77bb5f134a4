import Foundation
import Postgres
import Schema
import TestSupport
import Testing

@testable import Queue

/// A database with the roles of an installation, two environments, and the login of an app that may use the kinds
/// `mail.send` and `mail.sync` in `test` and nothing else. `mail.drop` is a kind that others have.
struct AppWorld: Sendable {
    let fixture: QueueFixture
    let login: String
    /// As the app's login.
    let app: PostgresPool
    let grants: AppGrants
    let test: Int64
    let live: Int64
    private let roles: SchemaRoles

    init(_ fixture: QueueFixture) async throws {
        self.fixture = fixture
        let suffix = UUID().uuidString.prefix(8).lowercased()
        var roles = SchemaRoles()
        roles.owner = "eg_owner_\(suffix)"
        roles.service = "eg_service_\(suffix)"
        roles.app = "eg_app_\(suffix)"
        self.roles = roles
        login = "eg_shop_\(suffix)"
        try await roles.apply(to: fixture.pool)
        try await fixture.run(
            "create role \(login) login password 'shop'; grant \(roles.app) to \(login);"
                + "insert into evergrant.job_kinds (name) values ('mail.drop')")
        func environment(_ name: String) async throws -> Int64 {
            try await fixture.value(
                "insert into evergrant.environments (name, mode) values ('\(name)', '\(name)') returning id",
                as: Int64.self)
        }
        test = try await environment("test")
        live = try await environment("live")
        grants = AppGrants(pool: fixture.pool)
        _ = try await grants.allow(role: login, environmentID: test, kinds: ["mail.send", "mail.sync"])
        app = Self.pool(fixture, login)
    }

    private static func pool(_ fixture: QueueFixture, _ login: String) -> PostgresPool {
        var url = URLComponents(string: fixture.database.url)
        url?.user = login
        url?.password = "shop"
        let text = url?.string ?? fixture.database.url
        return fixture.database.pool { $0 = PostgresConfiguration(url: text) }
    }

    /// Another login, made by `sql` in which {login} is its name and {app} the role for apps.
    func login(_ name: String, _ sql: String) async throws -> (name: String, pool: PostgresPool) {
        let name = "\(login)_\(name)"
        try await fixture.run(
            sql.replacingOccurrences(of: "{login}", with: name).replacingOccurrences(of: "{app}", with: roles.app))
        return (name, Self.pool(fixture, name))
    }

    /// The first column of the first row, as the app's login; nil without a row, or for a null.
    func ask<T: PostgresDecodable>(
        _ sql: String, as type: T.Type, in other: (any PostgresQuerying)? = nil
    ) async throws -> T? {
        try await (other ?? app).execute(PostgresStatement("app", sql)).first?.decode(T?.self) ?? nil
    }

    func enqueue(_ arguments: String, in other: (any PostgresQuerying)? = nil) async throws -> Int64? {
        try await ask("select evergrant.enqueue(\(arguments))", as: Int64.self, in: other)
    }

    /// The error of `sql` as the app's login; nil when it is allowed.
    func refusal(_ sql: String, in other: (any PostgresQuerying)? = nil) async throws -> PostgresError? {
        do {
            try await (other ?? app).execute(PostgresStatement("app", sql))
            return nil
        } catch let error as PostgresError {
            return error
        }
    }

    /// Drops the database, then its roles, which belong to the whole cluster.
    func drop() async throws {
        try await fixture.database.drop()
        var configuration = PostgresConfiguration(url: try await TestCluster.shared.url())
        configuration.maximumConnections = 1
        let pool = PostgresPool(configuration, logger: quiet)
        try await pool.executeScript(
            PostgresStatement(
                "drop roles",
                """
                do $$ declare r text; begin
                    for r in select rolname from pg_roles where rolname like '\(login)\\_%' or rolname in
                        ('\(login)', '\(roles.owner)', '\(roles.service)', '\(roles.app)') loop
                        execute format('drop role %I', r);
                    end loop;
                end $$
                """))
        await pool.close()
    }
}

/// A world of the test's own.
func withApp<T: Sendable>(_ body: (AppWorld) async throws -> T) async throws -> T {
    let fixture = QueueFixture(try await TestDatabase.makeMigrated())
    let world: AppWorld
    do {
        world = try await AppWorld(fixture)
    } catch {
        await fixture.close()
        try? await fixture.database.drop()  // the first error says more
        throw error
    }
    let result: Result<T, any Error>
    do {
        result = .success(try await body(world))
    } catch {
        result = .failure(error)
    }
    await fixture.close()
    try await world.drop()
    return try result.get()
}
