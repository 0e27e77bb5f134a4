import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension JobQueue {
    /// Why a job is not running, or that it is. One statement, one snapshot, index probes, and at most 10,000 entries of
    /// the job's own lane.
    package func explain(_ jobID: Int64) async throws -> JobDiagnosis {
        guard let json = try await pool.execute(Statements.explain, [.int8(jobID)]).value([UInt8].self) else {
            throw QueueError(.inconsistent, "explaining job \(jobID) returned no row")
        }
        let facts = try JSONDecoder().decode(JobFacts.self, from: Data(json))
        guard let word = facts.state else {
            return JobDiagnosis(
                jobID: jobID, state: nil, kind: nil, environmentID: nil,
                readAt: Date(timeIntervalSince1970: facts.read_at), reasons: [.unknown])
        }
        guard let state = JobState(rawValue: word) else { throw QueueError(.inconsistent, "job \(jobID) is \(word)") }
        return JobDiagnosis(
            jobID: jobID, state: state, kind: facts.kind, environmentID: facts.environment_id,
            readAt: Date(timeIntervalSince1970: facts.read_at), reasons: facts.reasons(of: state))
    }

    /// The unfinished job that has a unique key, and how many enqueues of it wait for a stranger's transaction to end; so
    /// that "my enqueue became `again` or a wish" has a job to explain.
    package func holder(
        ofKey key: String, kind: String, environmentID: Int64
    ) async throws -> (jobID: Int64?, wishes: Int) {
        let job = NewJob(kind: kind, arguments: [], environmentID: environmentID, uniqueKey: key)
        guard let row = try await pool.execute(Statements.keyHolder, [.bytea(job.storedKey ?? [])]).first else {
            return (nil, 0)
        }
        let (jobID, wishes) = try row.decode(Int64?.self, Int.self)
        return (jobID, wishes)
    }
}
