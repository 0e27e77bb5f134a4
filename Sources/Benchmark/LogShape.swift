import Postgres

/// What a job's life writes to the write-ahead log, at each batch, from a checkpoint on: with full-page images, and on a
/// private server also without, which is what remains when checkpoints are rare.
struct LogShape: Sendable {
    let database: QueueDatabase
    let server: BenchmarkServer
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    func run() async throws -> [Figure] {
        var figures = try await rounds("full-page images on")
        guard server.isPrivate else { return figures }
        try await server.set("full_page_writes", "off")
        do {
            figures += try await rounds("full-page images off")
        } catch {
            try? await server.set("full_page_writes", "on")
            throw error
        }
        try await server.set("full_page_writes", "on")
        return figures
    }

    private func rounds(_ subject: String) async throws -> [Figure] {
        var figures: [Figure] = []
        for batch in options.batches {
            var bytes: [Double] = []
            var images: [Double] = []
            for _ in 0..<options.pairs {
                try await database.reset()
                let before = try await fullPageImages()
                let loop = ClosedLoop(
                    batch: batch, runners: options.runners, exchanges: options.exchanges, enqueuers: options.enqueuers)
                let outcome = try await loop.run(on: database, seconds: options.seconds)
                bytes.append(outcome.throughput.consumption.wal / Double(max(1, outcome.throughput.jobs)))
                if let before, let after = try await fullPageImages() {
                    images.append(Double(after - before) / Double(max(1, outcome.throughput.jobs)) * 1000)
                }
            }
            say("wal, batch \(batch), \(subject): \(Int(bytes.quantile(0.5))) B/job")
            figures.append(
                Figure(
                    shape: QueueShape.wal.rawValue, variant: "batch \(batch)", subject: subject,
                    settings: "\(Int(options.seconds)) s from a checkpoint",
                    measures: [Measure("WAL", "B/job", bytes)]
                        + (images.isEmpty ? [] : [Measure("full-page images", "per 1000 jobs", images)])))
        }
        return figures
    }

    /// Since the statistics began; nil before Postgres 14. Sessions report when they end at the latest, so this waits for
    /// those of the round before.
    private func fullPageImages() async throws -> Int64? {
        let sessions = "select count(*) from pg_stat_activity where application_name = 'evergrant-bench-worker'"
        for _ in 0..<200 where try await database.integers(sessions) != [0] {
            try await Task.sleep(for: .milliseconds(10))
        }
        return try? await database.integers("select wal_fpi from pg_stat_wal").first
    }
}
