import Postgres

extension JobQueue {
    /// Jobs of one state, or of all but completed: running, in line, due later, parked, discarded, cancelled, in that
    /// order. Reads each table by its own index, so a filter that few jobs pass may read many. Throws
    /// `QueueError.invalid` for a bad limit or cursor.
    package func list(_ filter: JobFilter) async throws -> JobPage {
        guard (1...200).contains(filter.limit) else {
            throw QueueError(.invalid, "limit is \(filter.limit), needs 1 to 200")
        }
        var place = try filter.cursor.map(JobPlace.init(cursor:)) ?? JobPlace(shelf: .running)
        var kind: PostgresParameter = .null
        if let name = filter.kind {
            guard let id = try await names.find(kind: name) else { return JobPage(jobs: [], cursor: nil) }
            kind = .int4(id)
        }
        var queues: PostgresParameter = .null
        if let environmentID = filter.environmentID {
            queues = .int4Array(
                try await pool.execute(Statements.environmentQueues, [.int8(environmentID)])
                    .map { try $0.decode(Int32.self) })
        }
        var jobs: [JobRecord] = []
        while true {
            if place.shelf.holds(filter.state) {
                let wanted = filter.limit - jobs.count
                let parameters: [PostgresParameter] = [
                    .optional(filter.state) { .text($0.rawValue) }, kind, queues, .int4(Int32(wanted)),
                    .optional(place.first) { .int8($0) }, .optional(place.second) { .int8($0) },
                ]
                let answers = try await pool.pipeline([
                    (Statements.readInOrder, []), (place.shelf.statement, parameters),
                ])
                guard answers.count == 2 else { throw QueueError(.inconsistent, "a list was not answered") }
                for row in answers[1] {
                    let jobID = try row["job_id", as: Int64.self]
                    jobs.append(try JobRecord(row, jobID: jobID))
                    place.first = try row["first", as: Int64.self]
                    place.second = try row["second", as: Int64.self]
                }
                if jobs.count == filter.limit { return JobPage(jobs: jobs, cursor: place.cursor) }
            }
            guard let next = JobPlace.Shelf(rawValue: place.shelf.rawValue + 1) else {
                return JobPage(jobs: jobs, cursor: nil)
            }
            place = JobPlace(shelf: next)
        }
    }
}

/// How far a listing has come: a table, and the two numbers it is ordered by.
struct JobPlace: Sendable, Hashable {
    enum Shelf: Int, Sendable, CaseIterable {
        case running, ready, scheduled, parked, discarded, finished

        func holds(_ state: JobState?) -> Bool {
            guard let state else { return true }
            return switch self {
            case .running: state == .running
            case .ready: state == .available || state == .retryable
            case .scheduled: state == .scheduled || state == .retryable
            case .parked: state == .parked
            case .discarded: state == .discarded
            case .finished: state == .completed || state == .cancelled || state == .deleted
            }
        }

        var statement: PostgresStatement {
            switch self {
            case .running: Statements.listRunning
            case .ready: Statements.listReady
            case .scheduled: Statements.listScheduled
            case .parked: Statements.listParked
            case .discarded: Statements.listDiscarded
            case .finished: Statements.listFinished
            }
        }
    }

    var shelf: Shelf
    var first: Int64?
    var second: Int64?

    init(shelf: Shelf) { self.shelf = shelf }

    /// Throws `QueueError.invalid`.
    init(cursor: String) throws {
        let parts = cursor.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let shelf = Int(parts[0]).flatMap(Shelf.init), let first = Int64(parts[1]),
            let second = Int64(parts[2])
        else { throw QueueError(.invalid, "cursor \"\(cursor.prefix(80))\" is not one this list gave") }
        self.shelf = shelf
        self.first = first
        self.second = second
    }

    var cursor: String { "\(shelf.rawValue).\(first ?? 0).\(second ?? 0)" }
}
