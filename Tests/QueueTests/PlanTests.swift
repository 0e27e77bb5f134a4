import Postgres
import TestSupport
import Testing

@testable import Queue

/// Each statement is explained as a worker's session plans it, with little in the tables, which is when a sequential scan
/// tempts the planner most.
@Suite struct PlanTests {
    private func plan(
        _ fixture: QueueFixture, _ statement: PostgresStatement, types: String, arguments: String
    ) async throws -> String {
        try await fixture.pool.withConnection { connection in
            try await connection.executeScript(
                PostgresStatement("prepare", "prepare explained(\(types)) as \(statement.sql)"))
            let rows = try await connection.execute(
                PostgresStatement("explain", "explain execute explained(\(arguments))"))
            try await connection.executeScript(PostgresStatement("deallocate", "deallocate explained"))
            return try rows.map { try $0.decode(String.self) }.joined(separator: "\n")
        }
    }

    @Test func `a claim reads its lanes by the lane index and deletes by place`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            let plan = try await plan(
                fixture, Statements.settleAndClaim,
                types: "bigint[], bigint, int[], smallint[], bigint[], int[], float8",
                arguments: "'{1}', 1, '{1}', '{2}', '{0}', '{10}', 0")
            #expect(plan.contains("Tid Scan on jobs_ready"), "\(plan)")
            #expect(plan.contains("Index Scan using jobs_ready_lane on jobs_ready"), "\(plan)")
            #expect(!plan.contains("Seq Scan on jobs_ready"), "\(plan)")
            #expect(plan.contains("leases_pkey") && !plan.contains("Seq Scan on leases"), "\(plan)")
            #expect(plan.contains("lease_marks_pkey") && !plan.contains("Seq Scan on lease_marks"), "\(plan)")
        }
    }

    @Test func `the search for lanes, the marks and promotion read by index`() async throws {
        try await withQueue { fixture async throws in
            let lanes = try await plan(
                fixture, Statements.lanes, types: "int[], smallint[], bigint[], float8",
                arguments: "'{2147483647}', '{32767}', '{0}', 0")
            #expect(lanes.contains("using jobs_ready_lane") && !lanes.contains("Seq Scan on jobs_ready"), "\(lanes)")
            let low = try await plan(
                fixture, Statements.low, types: "xid8, bigint, int[], smallint[], bigint[], float8",
                arguments: "'1', 1, '{1}', '{2}', '{0}', 0")
            #expect(low.contains("using jobs_ready_lane") && !low.contains("Seq Scan on jobs_ready"), "\(low)")
            let promote = try await plan(fixture, Statements.promote, types: "int", arguments: "10")
            #expect(promote.contains("using jobs_scheduled_due") && promote.contains("Tid Scan"), "\(promote)")
        }
    }

    @Test func `lists in line and of what is due read in index order`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            try await fixture.run(
                """
                insert into evergrant.jobs_ready (queue, kind, priority, args)
                select 1 + g % 5, 1, g % 4, '{}' from generate_series(1, 5000) g;
                insert into evergrant.jobs_scheduled
                select now() + g * interval '1 second', 10000 + g,
                    evergrant.fresh_job(10000 + g, 1, 1, 1::smallint, 25::smallint, null, null, null, '{}')
                from generate_series(1, 5000) g;
                analyze evergrant.jobs_ready;
                analyze evergrant.jobs_scheduled;
                """)
            let types = "text, int, int[], int, bigint, bigint"
            let ready = try await plan(
                fixture, Statements.listReady, types: types, arguments: "null, null, null, 10, null, null")
            #expect(ready.contains("using jobs_ready_lane") && !ready.contains("Seq Scan on jobs_ready"), "\(ready)")
            let scheduled = try await plan(
                fixture, Statements.listScheduled, types: types, arguments: "null, null, null, 10, null, null")
            #expect(scheduled.contains("using jobs_scheduled_due"), "\(scheduled)")
        }
    }
}
