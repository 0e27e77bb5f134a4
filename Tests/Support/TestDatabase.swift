import Logging
import Postgres

/// A database of a test's own, copied from a template.
///
///     try await withTestDatabase { database in
///         let pool = database.pool()
///         …
///     }
package struct TestDatabase: Sendable {
    /// What a test's database holds at the beginning.
    package struct Template: Sendable, Hashable {
        package let name: String

        /// Nothing.
        package static let empty = Template(name: "empty")

        package init(name: String) { self.name = name }
    }

    package let name: String
    package let url: String
    private let pools: TestPools

    /// One that is there, on a server of the caller's own, which also ends it.
    package init(at url: String) {
        self.init(name: "", url: url, pools: TestPools())
    }

    private init(name: String, url: String, pools: TestPools) {
        self.name = name
        self.url = url
        self.pools = pools
    }

    /// A new database; `drop` it at the end, or use `withTestDatabase`.
    package static func make(template: Template = .empty) async throws -> TestDatabase {
        let source = try await TestTemplates.shared.database(of: template)
        let name = try await TestCluster.shared.createDatabase(template: source)
        return TestDatabase(name: name, url: try await TestCluster.shared.url(database: name), pools: TestPools())
    }

    /// Says how the template is made: `make` gets the URL of an empty database and must have closed its connections when
    /// it returns. It runs once in a process, at the first use of the template.
    package static func registerTemplate(
        _ name: String, _ make: @escaping @Sendable (_ url: String) async throws -> Void
    ) async -> Template {
        await TestTemplates.shared.register(name, make)
        return Template(name: name)
    }

    package var configuration: PostgresConfiguration { PostgresConfiguration(url: url) }

    /// A new pool on this database, closed when the database is dropped.
    package func pool(
        _ configure: (inout PostgresConfiguration) -> Void = { _ in },
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) -> PostgresPool {
        var configuration = configuration
        configure(&configuration)
        let pool = PostgresPool(configuration, logger: logger)
        pools.add(pool)
        return pool
    }

    /// The same database with no pool in use: for its next user.
    func reused() async -> TestDatabase {
        await pools.close()
        return TestDatabase(name: name, url: url, pools: TestPools())
    }

    /// Closes its pools and removes it, ending all sessions.
    package func drop() async throws {
        await pools.close()
        try await TestCluster.shared.dropDatabase(name)
    }
}

/// Runs `body` with a new database and drops that afterwards.
package func withTestDatabase<T: Sendable>(
    isolation: isolated (any Actor)? = #isolation, template: TestDatabase.Template = .empty,
    _ body: (TestDatabase) async throws -> T
) async throws -> T {
    let database = try await TestDatabase.make(template: template)
    do {
        let result = try await body(database)
        try await database.drop()
        return result
    } catch {
        // The test's own error says more than one of the clean-up.
        try? await database.drop()
        throw error
    }
}
