import ChaosSupport
import Foundation
import LifecycleSupport
import Logging
import Postgres
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct FailoverTests {
    private func with(_ name: String, _ body: (FailoverPair) async throws -> Void) async throws {
        let pair = FailoverPair(name)
        do {
            try await pair.start()
            try await body(pair)
        } catch {
            await pair.end()
            throw error
        }
        await pair.end()
    }

    @Test func `a promoted standby has what it heard of and lacks what came after`() async throws {
        try await with("fixture") { pair in
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let insert = PostgresStatement(
                "insert", "insert into evergrant.environments (name, mode) values ($1, 'test')")
            let first = PostgresPool(PostgresConfiguration(url: await pair.primaryURL), logger: logger)
            try await first.execute(insert, [.text("heard")])
            try await pair.catchUp()
            try await pair.cutReplication()
            try await first.execute(insert, [.text("unheard")])
            await first.close()
            try await pair.failOver()
            let second = PostgresPool(PostgresConfiguration(url: await pair.standbyURL), logger: logger)
            let names = try await second.execute(
                PostgresStatement("names", "select name from evergrant.environments order by name"), []
            ).map { try $0.decode(String.self) }
            #expect(names == ["heard"])
            try await second.execute(insert, [.text("written")])
            await second.close()
        }
    }
}
