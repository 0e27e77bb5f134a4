import Foundation
import Queue

/// The body of `/v1/jobs/retry` and `/v1/jobs/delete`.
struct RedriveRequest: RequestFields {
    static let fields = ["kind", "error", "since", "limit", "preview"]

    let kind: String
    let error: String?
    let since: Date?
    /// 1 to 10,000, which is the default.
    let limit: Int?
    let preview: Bool?

    func selection(environmentID: Int64) throws(HTTPProblem) -> JobSelection {
        try JobsController.checkKind(kind)
        if let error, !(1...200).contains(error.utf8.count) || error.utf8.contains(0) {
            throw .invalid("error", "is not the type of an error: 1 to 200 bytes")
        }
        if let limit, !(1...10_000).contains(limit) { throw .invalid("limit", "is not a number from 1 to 10000") }
        return JobSelection(kind: kind, environmentID: environmentID, errorType: error, since: since)
    }
}

/// What a selection holds.
struct RedrivePreviewBody: Encodable {
    struct Group: Encodable {
        let error: String?
        let jobs: Int
        let oldest: Date
        let newest: Date
        let example_job: String
        let example_message: String?
    }

    let jobs: Int
    /// False: there are more than were looked at.
    let is_complete: Bool
    let errors: [Group]

    init(_ preview: RedrivePreview) {
        jobs = preview.jobs
        is_complete = preview.isComplete
        errors = preview.groups.map {
            Group(
                error: $0.errorType, jobs: $0.jobs, oldest: $0.oldest, newest: $0.newest,
                example_job: String($0.exampleJobID), example_message: $0.exampleMessage)
        }
    }
}

/// What was done.
struct RedriveBody: Encodable {
    let moved: Int
    /// Selected, but another unfinished job has their unique key.
    let kept: Int
    /// False: stopped at the limit; the same call goes on.
    let is_done: Bool
}

/// Why a job is not running.
struct DiagnosisBody: Encodable {
    struct Reason: Encodable {
        let code: String
        let sentence: String
        let until: Date?
    }

    let id: String
    let state: String
    let kind: String?
    let read_at: Date
    let needs_operator: Bool
    /// What has to end first comes first.
    let reasons: [Reason]

    init(_ diagnosis: JobDiagnosis, state: JobState) {
        id = String(diagnosis.jobID)
        self.state = state.rawValue
        kind = diagnosis.kind
        read_at = diagnosis.readAt
        needs_operator = diagnosis.needsOperator
        reasons = diagnosis.reasons.map { Reason(code: $0.code, sentence: $0.sentence, until: $0.until) }
    }
}
