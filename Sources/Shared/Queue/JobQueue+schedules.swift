import Foundation
import Postgres

extension JobQueue {
    /// Makes a schedule, or makes the one of that name in its environment as this one is; returns it as kept.
    ///
    /// One whose rule and start stay the same keeps its ticks, so a deployment may set its schedules again each time; a
    /// paused one stays paused. One that ends in the past is kept, as ended.
    ///
    /// Throws `QueueError.invalid`, `PostgresError`.
    /// - Parameter shortest: the least distance of an `every` rule.
    @discardableResult
    package func setSchedule(_ schedule: Schedule, shortest: Duration = .seconds(1)) async throws -> ScheduleRecord {
        try schedule.check(shortest: shortest)
        let queueName = QueueName(environmentID: schedule.job.environmentID, name: schedule.job.queue)
        try await names.prepare(queues: [queueName], kinds: [schedule.job.kind])
        guard let queueID = names.queue(queueName), let kindID = names.kind(schedule.job.kind) else {
            throw QueueError(.inconsistent, "queue or kind of schedule \(schedule.name) was made and is not there")
        }
        return try await pool.transaction { transaction in
            let key: [PostgresParameter] = [.int8(schedule.job.environmentID), .text(schedule.name)]
            // Two that make one name at once: the later finds it in its second round.
            for _ in 0..<3 {
                let found = try await transaction.execute(Statements.lockSchedule, key).first.map(ScheduleRecord.init)
                guard let now = try await transaction.execute(Statements.now).value(Date.self) else { continue }
                let (anchor, next) = try schedule.place(after: found, now: now)
                let job = schedule.job
                let rows = try await transaction.execute(
                    found == nil ? Statements.insertSchedule : Statements.updateSchedule,
                    key + [
                        .int4(queueID), .int4(kindID), .jsonb(job.arguments), .int2(job.priority),
                        .optional(job.storedLimitKeys) { .text($0) }, .int2(job.maximumAttempts),
                    ] + schedule.rule.parameters + [
                        .timestamptz(anchor), .optional(schedule.starts) { .timestamptz($0) },
                        .optional(schedule.ends) { .timestamptz($0) }, .text(schedule.missed.rawValue),
                        .text(schedule.overlap.rawValue), .optional(next) { .timestamptz($0) },
                    ])
                if rows.first != nil, let kept = try await transaction.execute(Statements.findSchedule, key).first {
                    return try ScheduleRecord(kept)
                }
            }
            throw QueueError(.inconsistent, "schedule \(schedule.name) was made and is not there")
        }
    }

    /// Removes a schedule; jobs that it enqueued stay. Whether it was there.
    package func removeSchedule(_ name: String, environmentID: Int64) async throws -> Bool {
        try await pool.execute(Statements.removeSchedule, [.int8(environmentID), .text(name)]).first != nil
    }

    /// The schedules of an environment by name; nil: of all.
    package func schedules(environmentID: Int64?) async throws -> [ScheduleRecord] {
        try await pool.execute(Statements.listSchedules, [.optional(environmentID) { .int8($0) }])
            .map(ScheduleRecord.init)
    }

    package func schedule(_ name: String, environmentID: Int64) async throws -> ScheduleRecord? {
        try await pool.execute(Statements.findSchedule, [.int8(environmentID), .text(name)]).first
            .map(ScheduleRecord.init)
    }

    /// The latest runs of a schedule, newest first, as far as they are not pruned.
    package func runs(of schedule: ScheduleRecord, limit: Int = 20) async throws -> [ScheduleRun] {
        try await pool.execute(Statements.listScheduleRuns, [.int8(schedule.id), .int4(Int32(clamping: limit))])
            .map { row in
                let (tick, jobID, manual) = try row.decode(Date.self, Int64?.self, Bool.self)
                return ScheduleRun(tick: tick, jobID: jobID, isManual: manual)
            }
    }

    /// Stops a schedule, or lets it go on with the next tick: those of the pause are not wanted any more, and run under
    /// no policy. nil when it is not there.
    package func setSchedulePaused(
        _ paused: Bool, name: String, environmentID: Int64
    ) async throws -> ScheduleRecord? {
        try await pool.transaction { transaction in
            let key: [PostgresParameter] = [.int8(environmentID), .text(name)]
            guard let found = try await transaction.execute(Statements.lockSchedule, key).first.map(ScheduleRecord.init)
            else { return nil }
            if paused != (found.state == .paused) {
                let next = paused ? nil : try found.schedule.upcoming(anchor: found.anchor, after: found.latest)
                try await transaction.execute(
                    Statements.pauseSchedule,
                    [.int8(found.id), .bool(paused), .optional(next) { .timestamptz($0) }])
            }
            return try await transaction.execute(Statements.findSchedule, key).first.map(ScheduleRecord.init)
        }
    }

    /// Enqueues the job of a schedule at once, paused or not; its ticks stay as they are. nil when it is not there.
    ///
    /// Throws `QueueError.overlap` when the schedule allows no overlap and the job of its latest run is not finished.
    package func runScheduleNow(_ name: String, environmentID: Int64) async throws -> Int64? {
        guard let known = try await schedule(name, environmentID: environmentID) else { return nil }
        try await names.prepare(
            queues: [QueueName(environmentID: environmentID, name: known.schedule.job.queue)],
            kinds: [known.schedule.job.kind])
        return try await pool.transaction { transaction in
            let rows = try await transaction.execute(Statements.lockSchedule, [.int8(environmentID), .text(name)])
            guard let found = try rows.first.map(ScheduleRecord.init) else { return nil }
            if found.schedule.overlap == .skip, let last = found.lastJobID,
                try await transaction.execute(Statements.unfinishedJobs, [.int8Array([last])]).first != nil
            {
                throw QueueError(
                    .overlap, "schedule \(name) allows no overlap, and its job \(last) is not finished")
            }
            guard let jobID = try await enqueue([found.schedule.job], in: transaction).first?.jobID else {
                throw QueueError(.inconsistent, "enqueue answered no job")
            }
            try await transaction.execute(Statements.recordManualRun, [.int8(found.id), .int8(jobID)])
            return jobID
        }
    }
}

extension ScheduleRule {
    /// Interval, cron expression, time zone.
    fileprivate var parameters: [PostgresParameter] {
        switch self {
        case .every(let interval): [.int8(Int64(interval.dividedIntoMilliseconds.whole)), .null, .text("UTC")]
        case .cron(let text, let zone): [.null, .text(text), .text(zone)]
        }
    }
}

extension ScheduleRecord {
    /// Ticks from here on are to come: by the database's time, and never one that was enqueued.
    var latest: Date { max(now, lastAt ?? now) }
}

extension Schedule {
    /// The first tick after `date`, within start and end.
    func upcoming(anchor: Date, after date: Date) throws(QueueError) -> Date? {
        // A start is a tick itself, where the rule names it.
        let begin = starts.map { max(date, Date(microseconds: $0.microseconds - 1)) } ?? date
        guard let tick = try rule.ticks(from: anchor).next(after: begin) else { return nil }
        return ends.map { tick <= $0 } ?? true ? tick : nil
    }

    /// From where its distances count, and its next tick.
    fileprivate func place(after found: ScheduleRecord?, now: Date) throws(QueueError) -> (Date, Date?) {
        let made = Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        let isSame =
            found.map { $0.schedule.rule == rule && $0.schedule.starts?.microseconds == starts?.microseconds } ?? false
        let anchor = starts ?? (found?.schedule.starts == nil ? found?.anchor : nil) ?? made
        if let found, found.state == .paused { return (anchor, nil) }
        if let found, isSame, found.state == .active, let next = found.nextAt {
            return (anchor, ends.map { next <= $0 } ?? true ? next : nil)
        }
        return (anchor, try upcoming(anchor: anchor, after: max(now, found?.lastAt ?? now)))
    }
}
