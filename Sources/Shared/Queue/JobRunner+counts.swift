import Postgres

extension JobRunner {
    /// Adds what was counted to the table of lanes; with each beat, and when the runner leaves. What could not be written
    /// is written with the next beat; if only the answer was lost, it is counted twice.
    func foldCounts() async throws {
        let taken = state.withLock { $0.counters.take() }
        guard !taken.isEmpty else { return }
        do {
            try await pool.execute(
                Statements.foldCounts,
                [
                    .int4Array(taken.lanes.map(\.queue)), .int2Array(taken.lanes.map(\.priority)),
                    .int8Array(taken.counts),
                ], timeout: configuration.beatInterval)
        } catch {
            state.withLock { $0.counters.add(taken) }
            throw error
        }
    }
}
