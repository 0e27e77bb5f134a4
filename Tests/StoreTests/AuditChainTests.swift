import Foundation
import Postgres
import Store
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct AuditChainTests {
    @Test func `rows are sealed in batches, and the chain verifies up to the last`() async throws {
        try await AuditWorld.with { world in
            let empty = try await world.verify()
            #expect(empty.fault == nil && empty.rows == 0 && empty.sealedAt == nil && empty.head.hasPrefix("0:"))
            try await world.write(12)
            #expect(try await world.verify().unsealed == 12)
            try await world.settle()
            let first = try await world.sealer.seal(limit: 5)
            #expect(first.rows == 5 && first.isMore)
            try await world.sealAll(limit: 5)
            try await world.write(1)
            let report = try await world.verify()
            #expect(report.fault == nil && report.rows == 12 && report.seals == 3 && report.unsealed == 1)
            #expect(report.sealedAt != nil && report.head.hasPrefix("3:"))
        }
    }

    @Test(arguments: [
        "actor = 'cli'", "action = 'export'", "count = count + 1", "details = '{\"n\": 99}'", "details = null",
        "at = at + interval '1 microsecond'", "connection_id = 7", "details = '{\"erased\": \"00\"}'",
    ])
    func `any change of a sealed row is found, and the row is named`(change: String) async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 4)
            let id = try await world.id(6)
            try await world.run("update evergrant.audit set \(change) where id = \(id)")
            let fault = try #require(try await world.verify().fault)
            #expect(fault.kind == .altered && fault.row == id && fault.seal == 2)
            #expect(fault.sentence.contains("row \(id) of seal 2"))
        }
    }

    @Test func `a row that was removed is named, the first one when there are several`() async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 4)
            let first = try await world.id(3), second = try await world.id(8)
            try await world.run("delete from evergrant.audit where id in (\(first), \(second))")
            let fault = try #require(try await world.verify().fault)
            #expect(fault.kind == .removed && fault.row == first && fault.seal == 1)
        }
    }

    @Test func `a row that was inserted behind a seal is named`() async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 4)
            try await world.run(
                """
                insert into evergrant.audit (environment_id, actor, action, xid)
                select environment_id, 'cli', 'export', xid from evergrant.audit where id = \(try await world.id(5))
                """)
            let id = try await world.value("select max(id) from evergrant.audit")
            let fault = try #require(try await world.verify().fault)
            #expect(fault.kind == .inserted && fault.row == id)
        }
    }

    @Test func `a row that was given another place or environment counts as altered`() async throws {
        try await AuditWorld.with { world in
            try await world.write(4)
            try await world.sealAll()
            let id = try await world.id(2)
            try await world.run("update evergrant.audit set xid = xid + 1000000 where id = \(id)")
            let fault = try #require(try await world.verify().fault)
            #expect(fault.kind == .altered && fault.row == id)
        }
    }

    @Test(arguments: [
        "delete from evergrant.audit_seals where number = 2",
        "update evergrant.audit_seals set rows = overlay(rows placing '\\xff'::bytea from 20) where number = 2",
        "update evergrant.audit_seals set sealed_at = sealed_at - interval '1 day' where number = 2",
        "update evergrant.audit_seals set hash = sha256('x') where number = 2",
        "update evergrant.audit_heads set number = 2",
    ])
    func `a seal or a head that was changed breaks the chain`(change: String) async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 4)
            try await world.run(change)
            #expect(try await world.verify().fault?.kind == .chain)
        }
    }

    @Test func `a chain made anew, or cut off, does not hold the head that was kept elsewhere`() async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 4)
            let kept = try #require(AuditHead.parse(try await world.verify().head))
            #expect(try await world.verify(expected: kept).fault == nil)
            try await world.write(3)
            try await world.sealAll()
            #expect(try await world.verify(expected: kept).fault == nil)
            // All traces of a row taken out, and everything sealed again: right in itself, but not what was kept.
            try await world.run("delete from evergrant.audit where id = \(try await world.id(3))")
            try await world.run("delete from evergrant.audit_seals")
            try await world.run("delete from evergrant.audit_heads")
            try await world.run(
                "insert into evergrant.audit_heads (environment_id) select id from evergrant.environments")
            try await world.sealAll(limit: 4)
            #expect(try await world.verify().fault == nil)
            let fault = try #require(try await world.verify(expected: kept).fault)
            #expect(fault.kind == .unexpectedHead && fault.seal == 3)
        }
    }

    @Test func `a commit that comes late is sealed after it came, and nothing is sealed beyond it before`() async throws
    {
        try await AuditWorld.with { world in
            try await world.write(2)
            try await world.sealAll()
            let late = world.database.pool()
            let sealed = try await late.transaction { slow in
                try await Audit.record(
                    environmentID: world.environmentID, actor: "worker:slow", action: "refresh", connectionID: nil,
                    in: slow)
                // Committed while the slow one is open, with greater ids.
                try await world.write(3)
                #expect(try await world.sealer.seal().rows == 0)
                let report = try await world.verify()
                #expect(report.fault == nil && report.rows == 2 && report.unsealed == 3)
                return report.rows
            }
            #expect(sealed == 2)
            try await world.sealAll()
            let report = try await world.verify()
            #expect(report.fault == nil && report.rows == 6 && report.unsealed == 0)
        }
    }

    @Test func `ids that a rollback left out are nothing to the chain`() async throws {
        struct Undo: Error {}
        try await AuditWorld.with { world in
            try await world.write(2)
            await #expect(throws: Undo.self) {
                try await world.pool.transaction { transaction in
                    try await Audit.record(
                        environmentID: world.environmentID, actor: "cli", action: "export", connectionID: nil,
                        in: transaction)
                    throw Undo()
                }
            }
            try await world.write(2)
            try await world.sealAll()
            let report = try await world.verify()
            #expect(report.fault == nil && report.rows == 4)
        }
    }

    @Test func `sealers, writers and rollbacks at once leave a chain that verifies, with every row once`() async throws
    {
        struct Undo: Error {}
        try await AuditWorld.with { world in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        for round in 0..<25 {
                            _ = try? await world.pool.transaction { transaction in
                                for _ in 0..<3 {
                                    try await Audit.record(
                                        environmentID: world.environmentID, actor: "worker:\(writer)",
                                        action: "refresh", connectionID: nil, in: transaction)
                                }
                                if (round + writer) % 5 == 0 { throw Undo() }
                            }
                        }
                    }
                }
                for _ in 0..<3 {
                    group.addTask { for _ in 0..<20 { _ = try await world.sealer.seal(limit: 7) } }
                }
                try await group.waitForAll()
            }
            try await world.sealAll(limit: 7)
            let report = try await world.verify()
            #expect(report.fault == nil && report.rows == 240 && report.unsealed == 0)
        }
    }

    @Test func `environments have chains of their own`() async throws {
        try await AuditWorld.with { world in
            try await world.write(3)
            let other = try await world.environment("other")
            try await Audit.record(
                environmentID: other, actor: "cli", action: "export", connectionID: nil, in: world.pool)
            try await world.sealAll()
            try await world.run("update evergrant.audit set actor = 'x' where environment_id = \(other)")
            #expect(try await world.verify().fault == nil)
            let report = try #require(try await AuditVerification.run(environmentID: other, pool: world.pool))
            #expect(report.fault?.kind == .altered)
            #expect(try await AuditVerification.run(environmentID: 99, pool: world.pool) == nil)
        }
    }

    @Test func `on another server the chain goes on, with all rows of both`() async throws {
        try await AuditWorld.with { world in
            // A dump of a server whose transaction ids were far ahead: some rows sealed there, some not yet.
            try await world.write(6)
            try await world.run(
                """
                update evergrant.audit set xid = xid + 1000000000
                where id > (select id from evergrant.audit order by id offset 2 limit 1)
                """)
            try await world.sealAll()
            #expect(try await world.verify().rows == 3)
            try await world.run("update evergrant.audit_heads set server = 1")
            // On the new one, two rows are written before its sealer has looked.
            try await world.write(2)
            try await world.sealAll()
            try await world.write(4)
            try await world.sealAll()
            let report = try await world.verify()
            #expect(report.fault == nil && report.rows == 12 && report.unsealed == 0, "\(report)")
            // Each row is still held: of the old era, of its end, and of the new one.
            for place in [1, 5, 8, 11] {
                let id = try await world.id(place)
                try await world.run("update evergrant.audit set actor = actor || '!' where id = \(id)")
                let fault = try await world.verify().fault
                #expect(fault?.kind == .altered && fault?.row == id, "\(place): \(String(describing: fault))")
                try await world.run("update evergrant.audit set actor = rtrim(actor, '!') where id = \(id)")
            }
            try await world.run(
                """
                insert into evergrant.audit (id, environment_id, actor, action, xid) overriding system value
                select 1000, max(environment_id), 'cli', 'export', 1 from evergrant.audit
                """)
            let inserted = try await world.verify().fault
            #expect(inserted?.kind == .inserted && inserted?.row == 1000)
        }
    }

    @Test func `retention prunes whole seals behind a checkpoint that the audit itself records`() async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 3)
            let kept = try #require(AuditHead.parse(try await world.verify().head))
            #expect(try await world.sealer.prune(olderThan: .seconds(3600)) == 0)
            #expect(try await world.sealer.prune(olderThan: .zero) == 2)
            let pruned = try await world.verify(expected: kept)
            #expect(pruned.fault == nil && pruned.firstSeal == 3 && pruned.rows == 3)
            try await world.sealAll()
            #expect(try await world.verify().fault == nil)
            #expect(try await world.value("select count(*) from evergrant.audit") == 4)
            // The last seal stays, so that the chain always has an end to go on from.
            #expect(try await world.sealer.prune(olderThan: .zero) == 1)
            #expect(try await world.sealer.prune(olderThan: .zero) == 0)
        }
    }

    @Test func `rows that go without a pruning on record are missed`() async throws {
        try await AuditWorld.with { world in
            try await world.write(9)
            try await world.sealAll(limit: 3)
            try await world.run(
                "delete from evergrant.audit where id <= (select id from evergrant.audit order by id offset 2 limit 1)")
            try await world.run(
                """
                update evergrant.audit_heads set pruned_number = 1, pruned_hash = (
                    select hash from evergrant.audit_seals where number = 1)
                """)
            try await world.run("delete from evergrant.audit_seals where number = 1")
            let fault = try #require(try await world.verify().fault)
            #expect(fault.kind == .removed && fault.seal == 1)
        }
    }

    @Test func `an erasure takes details away, and the chain still proves the rows`() async throws {
        try await AuditWorld.with { world in
            try await world.write(4, connectionID: 5)
            try await world.sealAll()
            #expect(try await Audit.eraseDetails(connectionIDs: [5], in: world.pool) == 4)
            #expect(try await Audit.eraseDetails(connectionIDs: [5], in: world.pool) == 0)
            let report = try await world.verify()
            #expect(report.fault == nil && report.erased == 4)
            let rows = try await Audit.list(environmentID: world.environmentID, in: world.pool)
            #expect(rows.allSatisfy { !String(decoding: $0.details ?? [], as: UTF8.self).contains("\"n\"") })
        }
    }

    @Test func `sealing and listing read the order's index, with statistics and without`() async throws {
        try await AuditWorld.with { world in
            try await world.run(
                """
                insert into evergrant.audit (environment_id, actor, action, xid)
                select \(world.environmentID), 'cli', 'export', n from generate_series(1, 20000) n
                """)
            let next = """
                explain select id from evergrant.audit a where a.environment_id = 1 and a.id > 0
                    and (a.xid, a.id) > (19990, 1) and a.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                order by a.xid, a.id limit 100
                """
            let list = """
                explain select id from evergrant.audit a where a.environment_id = 1 and (a.xid, a.id) < (19990, 1)
                order by a.xid desc, a.id desc limit 100
                """
            for analyze in [false, true] {
                if analyze { try await world.run("analyze evergrant.audit") }
                for sql in [next, list] {
                    let plan = try await world.pool.execute(PostgresStatement("test_\(abs(sql.hashValue))", sql))
                        .map { try $0.decode(String.self) }.joined(separator: "\n")
                    #expect(plan.contains("audit_in_order") && !plan.contains("Seq Scan"), "\(plan)")
                    // Without statistics it expects few rows, and may sort these.
                    if analyze { #expect(!plan.contains("Sort"), "\(plan)") }
                }
            }
        }
    }

    @Test func `the list goes page by page, newest first, and filters`() async throws {
        try await AuditWorld.with { world in
            try await world.write(5)
            try await world.write(2, action: "export")
            var place: (xid: Int64, id: Int64)?
            var seen: [Int64] = []
            while true {
                let page = try await Audit.list(
                    environmentID: world.environmentID, before: place, limit: 3, in: world.pool)
                seen += page.map(\.id)
                guard page.count == 3, let last = page.last else { break }
                place = (last.xid, last.id)
            }
            #expect(seen == seen.sorted(by: >) && seen.count == 7)
            let exports = try await Audit.list(
                environmentID: world.environmentID, action: "export", in: world.pool)
            #expect(exports.count == 2 && exports.allSatisfy { !$0.isSealed })
            let later = try await Audit.list(
                environmentID: world.environmentID, since: Date().addingTimeInterval(3600), in: world.pool)
            #expect(later.isEmpty)
        }
    }
}

/// A database with an environment whose audit is written and sealed by hand.
private struct AuditWorld {
    let database: TestDatabase
    let pool: PostgresPool
    let environmentID: Int64
    var sealer: AuditSealer { AuditSealer(pool: pool) }

    static func with(_ body: (AuditWorld) async throws -> Void) async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let first = AuditWorld(database: database, pool: pool, environmentID: 0)
            try await body(
                AuditWorld(database: database, pool: pool, environmentID: try await first.environment("test")))
        }
    }

    func environment(_ name: String) async throws -> Int64 {
        try await value("insert into evergrant.environments (name, mode) values ('\(name)', 'test') returning id")
    }

    func write(_ rows: Int, action: String = "refresh", connectionID: Int64? = nil) async throws {
        for n in 0..<rows {
            try await Audit.record(
                environmentID: environmentID, actor: "worker:test", action: action, connectionID: connectionID,
                details: Array(#"{"n":\#(n)}"#.utf8), in: pool)
        }
    }

    /// Waits until no transaction that runs anywhere on the server, those of other tests included, is older than what
    /// was written, so that how much a seal takes is certain.
    func settle() async throws {
        while try await value(
            """
            select count(*) from evergrant.audit,
                (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest) horizon
            where xid between oldest and oldest + 100000000
            """) > 0
        {}
    }

    func sealAll(limit: Int = 5000) async throws {
        try await settle()
        while try await sealer.seal(limit: limit).rows > 0 {}
    }

    func verify(expected: (number: Int64, hash: [UInt8])? = nil) async throws -> AuditReport {
        try #require(
            try await AuditVerification.run(
                environmentID: environmentID, expected: expected, page: 2, pool: pool))
    }

    /// The id of the n-th row, from 1.
    func id(_ n: Int) async throws -> Int64 {
        try await value("select id from evergrant.audit order by id offset \(n - 1) limit 1")
    }

    func run(_ sql: String) async throws {
        try await pool.executeScript(PostgresStatement("test_\(abs(sql.hashValue))", sql))
    }

    func value(_ sql: String) async throws -> Int64 {
        let rows = try await pool.execute(PostgresStatement("test_\(abs(sql.hashValue))", sql))
        return try #require(rows.first).decode(Int64.self)
    }
}
