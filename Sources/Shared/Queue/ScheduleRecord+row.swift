import Foundation
import Postgres

extension ScheduleRecord {
    init(_ row: PostgresRow) throws {
        func read<T: PostgresDecodable>(_ column: String) throws -> T { try row[column, as: T.self] }
        var job = NewJob(
            kind: try read("kind"), arguments: try row["args", as: [UInt8].self],
            environmentID: try read("environment_id"), queue: try read("queue"), priority: try read("priority"))
        let limitKey: String? = try read("limit_key")
        job.limitKeys = NewJob.limitKeys(stored: limitKey)
        job.maximumAttempts = try read("max_attempts")
        let interval: Int64? = try read("every_ms")
        let cron: String? = try read("cron")
        let missed: String = try read("missed")
        let overlap: String = try read("overlap")
        schedule = Schedule(
            name: try read("name"), job: job,
            rule: interval.map { .every(.milliseconds($0)) } ?? .cron(cron ?? "", timeZone: try read("time_zone")),
            starts: try read("starts_at"), ends: try read("ends_at"), missed: MissedPolicy(rawValue: missed) ?? .once,
            overlap: OverlapPolicy(rawValue: overlap) ?? .allow)
        id = try read("id")
        nextAt = try read("next_at")
        lastAt = try read("last_at")
        lastJobID = try read("last_job_id")
        fault = try read("fault")
        createdAt = try read("created_at")
        updatedAt = try read("updated_at")
        anchor = try read("anchor_at")
        now = try read("now")
        let isPaused: Bool = try read("paused")
        state = isPaused ? .paused : fault != nil ? .faulty : nextAt == nil ? .ended : .active
    }
}
