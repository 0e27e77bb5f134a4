import Foundation
import Postgres

/// The database roles of an installation. They belong to the whole cluster, so their names can be chosen.
package struct SchemaRoles: Sendable, Hashable {
    /// Owns the schema and everything in it; cannot log in.
    package var owner = "evergrant_owner"
    /// What Evergrant's processes are: reads and writes rows, changes no table. Cannot log in: grant it to the login.
    package var service = "evergrant_service"
    /// What the app's own login may be: calls the functions made for apps and sees no table. Cannot log in.
    package var app = "evergrant_app"

    package init() {}

    /// The SQL that makes the roles and gives the schema to them. May run any number of times; run it again after every
    /// migration. Needs `CREATEROLE` and the ownership of what was migrated. Throws `SchemaError` for an unusable name.
    package func script() throws -> String {
        let url = Bundle.module.bundleURL.appendingPathComponent("Migrations/roles.sql.template")
        guard var text = try? String(contentsOf: url, encoding: .utf8) else {
            throw SchemaError(.unreadable, "cannot read \(url.path)")
        }
        for (place, name) in [("{{owner}}", owner), ("{{service}}", service), ("{{app}}", app)] {
            guard name.wholeMatch(of: /[a-z_][a-z0-9_]{0,62}/) != nil, !name.hasPrefix("pg_") else {
                throw SchemaError(
                    .invalidRole,
                    "role name \"\(name)\" is not usable: small letters, digits and _ only, not beginning with a digit "
                        + "or pg_, at most 63")
            }
            text = text.replacingOccurrences(of: place, with: name)
        }
        guard Set([owner, service, app]).count == 3 else {
            throw SchemaError(.invalidRole, "owner, service and app need a role each, got \(owner), \(service), \(app)")
        }
        return text
    }

    /// Runs the script in one transaction.
    package func apply(to pool: PostgresPool) async throws {
        let script = try script()
        try await pool.transaction { transaction in
            try await transaction.execute(Statements.lock)
            try await transaction.executeScript(PostgresStatement("apply roles", script))
        }
    }
}
