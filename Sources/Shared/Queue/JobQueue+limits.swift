import Pacing
import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension JobQueue {
    /// Makes or changes a limit. Jobs that have not started obey it from the next poll of each runner on; those that run
    /// already are counted only if the limit was there when they started. Throws `QueueError.invalid`.
    package func setLimit(_ limit: JobLimit) async throws {
        try limit.check()
        try await pool.execute(
            Statements.setLimit,
            [
                .text(limit.key), .optional(limit.concurrency) { .int4(Int32(clamping: $0)) },
                .optional(limit.rate) { .float8($0) },
                .optional(limit.rate == nil ? nil : limit.burst) { .int4(Int32(clamping: $0)) },
            ])
    }

    /// Lifts a limit and its block; false when there was none.
    @discardableResult
    package func removeLimit(_ key: String) async throws -> Bool {
        try await pool.execute(Statements.removeLimit, [.text(key)]).value(Bool.self) ?? false
    }

    /// Lets nothing of this key start for `duration`, on the whole fleet and at once: what a provider's 429 with
    /// `Retry-After` asks for (RFC 9110, section 10.2.3). Never shortens a block that stands.
    package func block(limitKey key: String, for duration: Duration, because reason: String) async throws {
        guard JobLimit.isValid(key: key) else {
            throw QueueError(.invalid, "limit key \"\(key.prefix(80))\" needs \(JobLimit.keyRule)")
        }
        try await pool.execute(
            Statements.blockLimit,
            [.text(key), .float8(max(0, duration.seconds)), .text(reason.prefix(utf8: 500))])
    }

    /// Limits and blocks as they stand, by key, those after `key` that begin with `prefix`.
    package func limits(
        after key: String? = nil, prefix: String? = nil, limit: Int = 200
    ) async throws -> [JobLimitState] {
        try await limits(
            [.optional(key) { .text($0) }, .int4(Int32(clamping: limit)), .optional(prefix) { .text($0) }, .null])
    }

    /// One limit as it stands; nil when nothing limits or blocks the key.
    package func limit(_ key: String) async throws -> JobLimitState? {
        try await limits([.null, .int4(1), .null, .text(key)]).first
    }

    private func limits(_ parameters: [PostgresParameter]) async throws -> [JobLimitState] {
        try await pool.execute(Statements.limits, parameters).map { row in
            let (key, concurrency, rate, burst, inUse, tokens, until, reason, waiting) = try row.decode(
                String.self, Int32?.self, Double?.self, Int32?.self, Int32.self, Double?.self, Date?.self,
                String?.self, Int.self)
            return JobLimitState(
                limit: JobLimit(
                    key: key, concurrency: concurrency.map { Int($0) }, rate: rate, burst: Int(burst ?? 1)),
                inUse: Int(inUse), tokens: tokens, blockedUntil: until, blockedBecause: reason, waiting: waiting)
        }
    }

    /// Stops starts of a kind or of a limit key; jobs that run go on. Holds from each runner's next poll on. False when it
    /// was paused before.
    @discardableResult
    package func pause(_ what: JobPause) async throws -> Bool {
        let (reason, name) = what.stored
        guard JobLimit.isValid(key: name) else {
            throw QueueError(.invalid, "\"\(name.prefix(80))\" cannot be paused: needs \(JobLimit.keyRule)")
        }
        return try await pool.execute(Statements.pause, [.text(reason), .text(name)]).value(Bool.self) ?? false
    }

    /// Lifts a pause and puts the jobs parked under it back into line; returns how many.
    @discardableResult
    package func resume(_ what: JobPause) async throws -> Int {
        let (reason, name) = what.stored
        var jobs = 0
        while true {
            let moved =
                try await pool.execute(Statements.resume, [.text(reason), .text(name), .int4(1000)])
                .value(Int.self) ?? 0
            jobs += moved
            if moved < 1000 { return jobs }
        }
    }

    /// Kinds and limit keys that are paused.
    package func pauses() async throws -> [JobPause] {
        try await pool.execute(Statements.pauses).compactMap { row in
            let (reason, name) = try row.decode(String.self, String.self)
            return JobPause(reason: reason, name: name)
        }
    }
}
