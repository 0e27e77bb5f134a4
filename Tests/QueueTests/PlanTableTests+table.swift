import Foundation
import Postgres
import Testing

@testable import Queue

extension PlanTableTests {
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static func keyed(_ keys: [String]) -> [PostgresParameter] {
        [
            .byteaArray(keys.map(bytes)), .int4(2), .int2(2), .int4(1), .jsonbArray(keys.map { _ in bytes("{}") }),
            .null,
            .int2(25), .null,
        ]
    }

    private static func held(_ things: Things, act: Int16, last: Bool = false) -> [PostgresParameter] {
        let note = bytes(act == 3 ? #"{"reason": "kind", "key": "k1"}"# : #"{"type": "T", "message": "m"}"#)
        return [
            .int8(things.lease), .int8(things.worker), .int8Array(things.jobs),
            .int2Array(things.jobs.map { _ in act }),
            .float8Array(things.jobs.map { _ in 60 }), .jsonbArray(things.jobs.map { _ in note }), .bool(last),
        ]
    }

    /// A statement with fixed parameters.
    private static func row(
        _ statement: PostgresStatement, _ detail: String = "", _ indexes: [String] = [], isPlain: Bool = false,
        reads: [String] = [], _ parameters: @escaping @Sendable (Things) -> [PostgresParameter]
    ) -> Row {
        Row(
            name: statement.name + (detail.isEmpty ? "" : ", \(detail)"), indexes: indexes, isPlain: isPlain,
            reads: reads
        ) { transaction, things in try await transaction.execute(statement, parameters(things)) }
    }

    static let table: [Row] = names + enqueues + exchanges + settles + duties + limits + operations + lists

    private static let names: [Row] = [
        row(Statements.nameQueues, isPlain: true) { _ in
            [.int8Array([3, 7777]), .textArray(["default", "new"])]
        },
        row(Statements.nameKinds, isPlain: true) { _ in [.textArray(["k1", "new"])] },
        row(Statements.findQueues, isPlain: true) { _ in [.int4Array([1, 2])] },
        row(Statements.findKinds, isPlain: true) { _ in [.int4Array([1, 2])] },
        row(Statements.environmentQueues, isPlain: true) { _ in [.int8(3)] },
    ]

    private static let enqueues: [Row] = [
        row(Statements.enqueue, isPlain: true) { _ in
            [
                .int4Array([1, 2]), .int4Array([1, 1]), .int2Array([2, 2]), .int2Array([25, 25]),
                .textArray([nil, nil]), .jsonbArray([bytes("{}"), bytes("{}")]),
            ]
        },
        row(Statements.schedule, isPlain: true) { _ in
            [
                .int4Array([1, 2]), .int4Array([1, 1]), .int2Array([2, 2]), .int2Array([25, 25]),
                .textArray([nil, nil]), .timestamptzArray([nil, Date(timeIntervalSinceNow: 99)]),
                .jsonbArray([bytes("{}"), bytes("{}")]),
            ]
        },
        row(Statements.enqueueKeyed, "new", ["job_keys_pkey"], isPlain: true) { _ in keyed(["a", "b", "c"]) },
        row(
            Statements.enqueueKeyed, "waiting", ["job_keys_pkey", "jobs_ready_lane", "jobs_scheduled_job"],
            isPlain: true
        ) { _ in keyed(["ready 10", "ready 10"]) },
        row(Statements.enqueueKeyed, "scheduled", ["job_keys_pkey", "jobs_scheduled_job"], isPlain: true) { _ in
            keyed(["later 10"])
        },
    ]

    private static let exchanges: [Row] = [
        row(Statements.settleAndClaim, "a whole lease and 100 jobs of four lanes", ["jobs_ready_lane", "leases_pkey"]) {
            [
                .int8Array([$0.whole]), .int8($0.worker), .int4Array([1, 1, 2, 3]), .int2Array([1, 3, 0, 2]),
                .int8Array([0, 0, 0, 0]), .int4Array([25, 25, 25, 25]), .float8($0.server),
            ]
        },
        row(Statements.settleAndClaim, "marks and empty lanes", ["jobs_ready_lane"]) {
            [
                .int8Array([]), .int8($0.worker), .int4Array([1, 99]), .int2Array([1, 2]),
                .int8Array([25_000, 0]), .int4Array([25, 25]), .float8($0.server),
            ]
        },
        row(Statements.lanes, "none known", ["jobs_ready_lane"]) {
            [.int4Array([.max]), .int2Array([.max]), .int8Array([0]), .float8($0.server)]
        },
        row(Statements.lanes, "three known", ["jobs_ready_lane"]) {
            [
                .int4Array([1, 2, 5, .max]), .int2Array([1, 2, 3, .max]), .int8Array([500, 0, 100, 0]),
                .float8($0.server),
            ]
        },
        row(Statements.low, "", ["jobs_ready_lane"]) {
            [
                .xid8(1), .int8(20_000), .int4Array([1, 2, 99]), .int2Array([1, 2, 2]), .int8Array([100, 0, 0]),
                .float8($0.server),
            ]
        },
        row(Statements.notify, "", ["jobs_ready_lane"], isPlain: true) { _ in
            [.text("evergrant_test"), .int4Array([1, 2]), .int2Array([2, 2]), .int8Array([15_000, 99_000_000])]
        },
        row(Statements.strayLeases) { [.int8($0.worker), .int8Array([$0.lease])] },
        row(Statements.releaseLeases, "", ["leases_pkey", "lease_marks_pkey"]) {
            [.int8Array([$0.whole]), .int8($0.worker)]
        },
        row(Statements.closeLeases, "", ["leases_pkey", "lease_marks_pkey"]) {
            [.int8Array([$0.lease, $0.whole]), .int8($0.worker)]
        },
    ]

    private static let settles: [Row] =
        [Int16(0), 1, 2, 3, 4, 5, 6].map { act in
            row(Statements.settleHeld, "act \(act)", ["leases_pkey", "job_keys_pkey"]) { held($0, act: act) }
        } + [
            row(Statements.settleHeld, "last", ["leases_pkey", "lease_marks_pkey"]) { held($0, act: 0, last: true) },
            row(Statements.settle, "", ["leases_pkey"], isPlain: true) {
                [.int8($0.lease), .int8($0.worker), .int8($0.jobs[0]), .int2(0), .float8(0), .null, .bool(false)]
            },
            row(Statements.settleIfMine, "", ["leases_pkey"], isPlain: true) {
                [.int8($0.lease), .int8($0.worker), .int8($0.jobs[0]), .int2(1), .float8(60), .null, .bool(false)]
            },
        ]

    private static let duties: [Row] = [
        row(Statements.beat) { [.int8($0.worker)] },
        row(Statements.observe) { [.int8($0.worker)] },
        row(Statements.declareDead) { [.int8($0.worker), .int8(0)] },
        row(Statements.unregister) { [.int8($0.worker)] },
        row(Statements.forgetWorkers) { _ in [] },
        row(Statements.rescueLock) { _ in [.int4(100)] },
        row(Statements.rescueMove, "", ["lease_marks_pkey"]) { [.int8Array([$0.lost])] },
        row(Statements.promote, "", ["jobs_scheduled_due"]) { _ in [.int4(100)] },
        // Folds in the order of keys, so that two folders do not deadlock; wishes are few.
        row(Statements.foldWishes, "", ["job_keys_pkey"], reads: ["job_wishes"]) { _ in [.int4(10)] },
        row(Statements.cancels) { _ in [] },
        row(Statements.repeatCancels) { _ in [] },
    ]

    /// One id of each place a job can be in.
    private static let places: [(String, Int64, [String])] = [
        ("in line", 100, ["jobs_ready_lane", "jobs_ready_again"]), ("queued again", -1, ["jobs_ready_again"]),
        ("scheduled", 10_000_600, ["jobs_scheduled_job"]), ("parked", 20_000_100, ["jobs_parked_pkey"]),
        ("discarded", 30_000_100, ["jobs_discarded_pkey"]), ("finished", 40_000_100, ["jobs_finished"]),
        ("nowhere", 99_000_000, ["jobs_ready_again"]),
    ]

    /// A limit with room for ten beside waiting jobs of five hundred keys.
    private static let limits: [Row] = [
        row(Statements.controls) { _ in [] },
        row(Statements.pauses) { _ in [] },
        row(Statements.limitedKeys) { _ in [.int8(-1)] },
        row(Statements.admit, "", ["leases_pkey"]) { things in
            [
                .int8(things.lease), .int8(things.worker), .int8Array(things.jobs),
                .textArray(things.jobs.map { _ in "w7" }),
            ]
        },
        row(Statements.claimParked, "", ["jobs_parked_turn"]) { [.int8($0.worker), .int4(20), .null] },
        row(Statements.claimParked, "after a key", ["jobs_parked_turn"]) {
            [.int8($0.worker), .int4(20), .text("w100")]
        },
        row(Statements.rescueHolds) { [.int8Array([$0.lost])] },
        row(Statements.setLimit, isPlain: true) { _ in [.text("w7"), .int4(5), .null, .null] },
        row(Statements.blockLimit, isPlain: true) { _ in [.text("w7"), .float8(5), .text("429")] },
        row(Statements.removeLimit, isPlain: true) { _ in [.text("w7")] },
        row(Statements.forgetLimits) { _ in [] },
        row(Statements.pause, isPlain: true) { _ in [.text("limit"), .text("w7")] },
        row(Statements.resume, "limit", ["jobs_parked_reason"], isPlain: true) { _ in
            [.text("limit"), .text("w7"), .int4(100)]
        },
        row(Statements.limits, isPlain: true) { _ in [.null, .int4(50), .null, .null] },
    ]

    private static let operations: [Row] =
        places.map { place in
            // The history is found by ranges of pages: jobs_finished_*_job_id_finished_at_idx.
            row(Statements.find, place.0, place.2, isPlain: true) { _ in [.int8(place.1)] }
        }
        + places.map { place in
            row(Statements.cancel, place.0, ["jobs_scheduled_job"], isPlain: true) { _ in [.int8(place.1)] }
        } + [
            row(Statements.find, "running", isPlain: true) { [.int8($0.jobs[0])] },
            row(Statements.cancel, "running", isPlain: true) { [.int8($0.jobs[0])] },
            // The function has one plan for all its filters: it reads discarded jobs, by id, up to the last one wanted.
            row(Statements.retry, "of a kind", isPlain: true, reads: ["jobs_discarded"]) { _ in
                [.int4(2), .null, .int4(100)]
            },
            row(Statements.retry, "by id", isPlain: true, reads: ["jobs_discarded"]) { _ in
                [.null, .int8Array([30_000_100, 30_014_000]), .int4(2)]
            },
            row(Statements.resume, "", ["jobs_parked_reason"]) { _ in
                [.text("kind"), .text("k7"), .int4(100)]
            },
            row(
                PostgresStatement("delete discarded", "select evergrant.delete_discarded($1::int, $2)"), "",
                ["jobs_discarded_pkey"]
            ) { _ in [.null, .int4(100)] },
            row(Statements.pauseQueue, "", isPlain: true) { _ in [.int8(3), .text("default"), .bool(true)] },
            row(Statements.depths, "", ["jobs_ready_lane"], isPlain: true) { _ in [.int4(10)] },
        ]

    /// Of all kinds and queues; the first page, and one far behind it.
    private static let lists: [Row] = [
        (Statements.listReady, "jobs_ready_lane", "available", Int64(30 << 16) + 32770, Int64(0)),
        (
            Statements.listScheduled, "jobs_scheduled_due", "scheduled",
            Int64((Date().timeIntervalSince1970 + 10_000) * 1_000_000), 10_000_000
        ),
        (Statements.listParked, "jobs_parked_pkey", "parked", 20_010_000, 0),
        (Statements.listDiscarded, "jobs_discarded_pkey", "discarded", 30_010_000, 0),
        (Statements.listRunning, "", "running", 1, 1),
    ].flatMap { (statement, index, state, first, second) -> [Row] in
        let indexes = index.isEmpty ? [] : [index]
        func page(_ name: String, _ parameters: [PostgresParameter]) -> Row {
            Row(name: "\(statement.name), \(name)", indexes: indexes, isPlain: true) { transaction, _ in
                try await transaction.execute(Statements.readInOrder)
                try await transaction.execute(statement, parameters)
            }
        }
        return [
            page("first page", [.text(state), .null, .null, .int4(50), .null, .null]),
            page("of every state", [.null, .null, .null, .int4(50), .null, .null]),
            page("a later page", [.text(state), .null, .null, .int4(50), .int8(first), .int8(second)]),
        ]
    }
}
