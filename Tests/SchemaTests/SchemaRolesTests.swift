import Foundation
import Logging
import Postgres
import Schema
import TestSupport
import Testing

@Suite struct SchemaRolesTests {
    private let suffix = UUID().uuidString.prefix(8).lowercased()

    private var roles: SchemaRoles {
        var roles = SchemaRoles()
        roles.owner = "eg_owner_\(suffix)"
        roles.service = "eg_service_\(suffix)"
        roles.app = "eg_app_\(suffix)"
        return roles
    }

    /// The SQLSTATE of `sql` as `role`; nil when it is allowed.
    private func attempt(_ sql: String, as role: String, _ pool: PostgresPool) async throws -> String? {
        do {
            try await pool.executeScript(PostgresStatement("attempt", "set local role \(role); \(sql)"))
            return nil
        } catch let error as PostgresError {
            return error.sqlState
        }
    }

    @Test func `roles have least rights, and applying them again changes nothing`() async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let roles = roles
            try await roles.apply(to: pool)
            try await roles.apply(to: pool)
            let tables = try await pool.execute(
                PostgresStatement(
                    "owners",
                    "select count(*) from pg_class where relnamespace = 'evergrant'::regnamespace "
                        + "and relkind in ('r', 'p', 'v', 'S') and pg_get_userbyid(relowner) <> '\(roles.owner)'"))
            #expect(try #require(tables.first).decode(Int.self) == 0)
            let allowed = [
                "insert into evergrant.jobs_ready (queue, kind, priority, args) values (1, 1, 1, '{}')",
                "select * from evergrant.enqueue_keyed(0::smallint, '{k}', 1, 1::smallint, 1, array['{}'::jsonb])",
                "select evergrant.history_make(20)", "select evergrant.history_drop(3, 90)",
                "select * from evergrant.jobs",
                "select version from evergrant.schema_migrations",
                // What the observer of workers asks the server.
                "select pg_postmaster_start_time(), pg_walfile_name(pg_current_wal_lsn()), pg_current_xact_id()",
            ]
            for sql in allowed { #expect(try await attempt(sql, as: roles.service, pool) == nil, "\(sql)") }
            let refused = [
                "create table evergrant.x (y int)", "drop table evergrant.jobs_ready", "truncate evergrant.jobs_ready",
                "delete from evergrant.schema_migrations", "alter table evergrant.jobs_ready add column z int",
            ]
            for sql in refused { #expect(try await attempt(sql, as: roles.service, pool) == "42501", "\(sql)") }
            for sql in allowed.dropLast() + refused {
                #expect(try await attempt(sql, as: roles.app, pool) == "42501", "\(sql)")
            }
            try await pool.executeScript(
                PostgresStatement(
                    "drop roles",
                    "reassign owned by \(roles.owner) to current_user; drop owned by \(roles.owner), \(roles.service), "
                        + "\(roles.app); drop role \(roles.owner), \(roles.service), \(roles.app)"))
        }
    }

    @Test(arguments: ["", "Evergrant", "a-b", "a\"; drop table x; --", "1a", "pg_a", String(repeating: "a", count: 64)])
    func `a role name that needs quotes is refused`(name: String) {
        var roles = SchemaRoles()
        roles.app = name
        #expect(throws: SchemaError.self) { try roles.script() }
    }

    @Test func `two roles with one name are refused`() {
        var roles = SchemaRoles()
        roles.app = roles.service
        #expect(throws: SchemaError.self) { try roles.script() }
    }
}
