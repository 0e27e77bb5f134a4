import ArgumentParser
import Foundation
import Postgres
import Queue

struct WorkersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workers", abstract: "List processes that beat: workers with the kinds they run, and schedulers.")

    /// A process as it is shown.
    struct Row: Encodable {
        let id: Int64
        let name, state: String
        let startedAt: Date
        let beat: Int64
        let beatAgeSeconds: Double
        let running: Int
        /// nil: runs no jobs.
        let kinds: [String]?

        init(_ status: WorkerStatus) {
            id = status.workerID
            name = status.name
            // Silent for longer than an observer waits: about to be declared dead, or nobody is left to do it.
            state = status.isDead ? "dead" : status.beatAge > 20 ? "silent" : "beats"
            startedAt = status.startedAt
            beat = status.beat
            beatAgeSeconds = (status.beatAge * 10).rounded() / 10
            running = status.running
            kinds = status.kinds
        }
    }

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await Tool.run(options) { pool, logger in
            let rows = try await JobQueue(pool: pool, logger: logger).workers().map(Row.init)
            var table = TextTable("ID", "NAME", "STATE", "LAST BEAT", "STARTED", "RUNNING", "KINDS")
            for row in rows {
                table.add(
                    String(row.id), row.name, row.state, "\(Int(row.beatAgeSeconds)) s ago", row.startedAt.tableText,
                    row.kinds == nil ? "–" : String(row.running),
                    row.kinds.map { $0.isEmpty ? "none" : $0.joined(separator: " ") } ?? "– (scheduler)")
            }
            try output.print(rows, text: rows.isEmpty ? "no process beats" : table.text)
        }
    }
}
