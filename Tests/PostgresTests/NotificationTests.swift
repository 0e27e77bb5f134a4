import Postgres
import TestSupport
import Testing

@Suite struct NotificationTests {
    private let notify = PostgresStatement("notify", "SELECT pg_notify($1, $2)")

    @Test func `what is notified is heard, and listening outlives its session`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.listenURL = $0.url }
            var news = pool.notifications(on: ["jobs", "Odd \"name\""]).makeAsyncIterator()
            #expect(await news.next() == .listening)
            try await pool.execute(notify, [.text("jobs"), .text("a")])
            #expect(await news.next() == .notification(channel: "jobs", payload: "a"))
            for _ in 0..<2 {
                let listener = try await pool.execute(
                    PostgresStatement(
                        "find listener",
                        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()")
                )
                try await Probes.terminate(try listener[0].decode(Int32.self), pool)
                #expect(await news.next() == .reconnected)
                try await pool.execute(notify, [.text("Odd \"name\""), .text("ü")])
                #expect(await news.next() == .notification(channel: "Odd \"name\"", payload: "ü"))
            }
            await pool.close()
            #expect(await news.next() == nil)
        }
    }

    @Test func `notifications of a transaction come when it is committed`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            var news = pool.notifications(on: ["c"]).makeAsyncIterator()
            #expect(await news.next() == .listening)
            try? await pool.transaction { transaction in
                try await transaction.execute(notify, [.text("c"), .text("rolled back")])
                throw CancellationError()
            }
            try await pool.transaction { transaction in
                _ = try await transaction.pipeline((0..<3).map { (notify, [.text("c"), .text("\($0)")]) })
            }
            for number in 0..<3 { #expect(await news.next() == .notification(channel: "c", payload: "\(number)")) }
        }
    }

    @Test func `a listener whose reader is gone ends its session`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let reader = Task {
                for await news in pool.notifications(on: ["d"]) where news == .listening { return }
            }
            await reader.value
            let count = PostgresStatement(
                "count listeners",
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()")
            while try await pool.execute(count)[0].decode(Int.self) > 0 {}
        }
    }
}
