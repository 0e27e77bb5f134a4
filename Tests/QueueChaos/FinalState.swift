import Pacing
import Postgres

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What the tables say when a run is over.
struct FinalState: Sendable {
    struct Job: Sendable, Hashable {
        let id: Int64
        /// As the view `jobs` names it.
        let state: String
        let attempt: Int
        /// nil once it is finished.
        let crashes: Int?
        let token: String?

        var hasEnded: Bool { ["completed", "cancelled", "deleted", "discarded"].contains(state) }
    }
    struct Effect: Sendable, Hashable {
        let job: Int64
        let attempt: Int
        let lease: Int64
        let worker: Int64
        /// False: a step whose job is to be tried again.
        let final: Bool
    }
    struct FactRow: Sendable, Hashable {
        let token: String
        let key: String
        let seenBy: Int64?
    }
    struct Death: Sendable, Hashable {
        let worker: Int64
        /// On the clock of the history.
        let at: Int64
    }

    var jobs: [Job] = []
    var effects: [Effect] = []
    var fenced: [String] = []
    var facts: [FactRow] = []
    var deaths: [Death] = []
    /// Leases, marks, keys and wishes that are still there.
    var leftovers: [String] = []

    init() {}

    /// Reads it all: for a run's database, whose jobs are thousands.
    static func read(_ pool: PostgresPool) async throws -> FinalState {
        var state = FinalState()
        state.jobs = try await pool.execute(ChaosSQL.jobs).map { row in
            let (id, word, attempt, crashes, token) = try row.decode(
                Int64.self, String.self, Int16.self, Int16?.self, String?.self)
            return Job(id: id, state: word, attempt: Int(attempt), crashes: crashes.map(Int.init), token: token)
        }
        state.effects = try await pool.execute(ChaosSQL.effects).map { row in
            let (job, attempt, lease, worker, final) = try row.decode(
                Int64.self, Int32.self, Int64.self, Int64.self, Bool.self)
            return Effect(job: job, attempt: Int(attempt), lease: lease, worker: worker, final: final)
        }
        state.fenced = try await pool.execute(ChaosSQL.fenced).map { try $0.decode(String.self) }
        state.facts = try await pool.execute(ChaosSQL.facts).map { row in
            let (token, key, seenBy) = try row.decode(String.self, String.self, Int64?.self)
            return FactRow(token: token, key: key, seenBy: seenBy)
        }
        let offset = Self.bootOffset()
        state.deaths = try await pool.execute(ChaosSQL.deaths).map { row in
            let (worker, at) = try row.decode(Int64.self, Int64.self)
            return Death(worker: worker, at: at - offset)
        }
        state.leftovers = try await pool.execute(ChaosSQL.leftovers).map { try $0.decode(String.self) }
        return state
    }

    /// What the server's clock (CLOCK_REALTIME, of the same machine) is ahead of the history's, in nanoseconds.
    private static func bootOffset() -> Int64 {
        var real = timespec()
        clock_gettime(CLOCK_REALTIME, &real)
        return Int64(real.tv_sec) * 1_000_000_000 + Int64(real.tv_nsec) - BootInstant.now().nanoseconds
    }
}
