/// What each metric means: help texts of `/metrics`, and the table of `docs/metrics.md`, which a test compares.
package enum MetricsTable {
    /// One name.
    package struct Row: Sendable, Hashable {
        package let name: String
        /// `counter`, `gauge` or `histogram`.
        package let type: String
        package let labels: [String]
        /// Which processes have it.
        package let process: String
        package let meaning: String
    }

    package static let rows: [Row] = [
        row(
            "refreshes_total", "counter", ["provider", "outcome"], "worker, front",
            "Attempts to refresh, by what came of them."),
        row(
            "refreshes_limited_total", "counter", ["provider"], "worker, front",
            "Attempts put off because a limit of provider, OAuth app or grant had no room."),
        row(
            "refresh_drain_per_second", "gauge", [], "scheduler",
            "Jobs of the lanes of refreshes that the fleet settled in the last minute; two minutes of them may wait."),
        row(
            "attempts_recovered_total", "counter", ["provider"], "worker",
            "Open attempts of others that were taken over."),
        row(
            "answers_unclassified_total", "counter", ["provider"], "worker, front",
            "Answers of providers that no rule of the catalog knows; each is in the log, redacted."),
        row(
            "refreshes_held_total", "counter", ["reason"], "worker, front",
            "Attempts that ended without a send, because the provider or the OAuth app is in trouble."),
        row(
            "breaker_state", "gauge", ["provider", "oauth_app", "host"], "scheduler",
            "Token endpoints in trouble: 0 closed, 1 half open, 2 open."),
        row(
            "quarantine_state", "gauge", ["provider", "oauth_app", "host"], "scheduler",
            "1 while the provider refuses the OAuth app itself."),
        row(
            "wave_state", "gauge", ["provider", "oauth_app", "host"], "scheduler",
            "1 while verdicts are held because many are refused at once."),
        row(
            "verdicts_held", "gauge", ["provider", "oauth_app", "host"], "scheduler",
            "Refused connections whose verdict is held, counted up to 10,000 an endpoint."),
        row(
            "escrow_recovered_total", "counter", ["outcome"], "worker, front",
            "Records brought out of abandoned journals."),
        row(
            "escrow_replayed_total", "counter", ["outcome"], "worker, front",
            "Answers that a changed database server lacked and the journal gave back."),
        row("server_changes_total", "counter", [], "all", "Changes of the database server that this process noticed."),
        row(
            "server_hold", "gauge", [], "all",
            "1 while nothing that rotates is presented because the database server has changed."),
        row(
            "refresh_tokens_found_total", "counter", ["provider"], "worker, front",
            "Refresh tokens that stood in a refusal and were kept."),
        row(
            "inbound_signals_total", "counter", ["provider", "outcome"], "front",
            "Signals of providers about ended grants: by kind, or why one was not believed."),
        row("validations_total", "counter", ["integration", "outcome"], "worker", "Probes of connections."),
        row("revocations_total", "counter", ["provider", "outcome"], "worker", "Revocations asked of providers."),
        row("webhook_attempts_total", "counter", ["outcome"], "worker", "Tries to deliver an event."),
        row(
            "webhook_attempt_duration_seconds", "histogram", [], "worker",
            "From the start of a try to the head of its answer."),
        row(
            "audit_unsealed_seconds", "gauge", [], "scheduler",
            "Age of the oldest row of the audit that no seal covers yet."),
        row("jobs_settled_total", "counter", ["kind", "outcome"], "worker", "Jobs by what came of a run."),
        row("job_duration_seconds", "histogram", ["kind"], "worker", "Time in a job's handler."),
        row(
            "job_wait_seconds", "histogram", ["kind"], "worker",
            "From enqueue to the first run of jobs that were due at once."),
        row("queue_depth", "gauge", ["queue", "priority"], "scheduler", "Jobs in line, counted up to 10,000 a lane."),
        row(
            "queue_oldest_seconds", "gauge", ["queue", "priority"], "scheduler", "Age of the job at the head of a lane."
        ),
        row(
            "queue_running", "gauge", ["queue", "priority"], "scheduler",
            "Jobs that workers hold, counted up to 10,000."),
        row(
            "queue_due_soon", "gauge", ["queue", "priority"], "scheduler",
            "Jobs due within a minute, or due and not in line yet, counted up to 10,000."),
        row(
            "queue_jobs_per_minute", "gauge", ["queue", "priority", "event"], "scheduler",
            "Of the last 60 s: started, completed, retried, discarded, cancelled, snoozed, parked."),
        row(
            "jobs_parked", "gauge", ["reason"], "scheduler",
            "Held by a pause (kind, limit) or a limit without room (wait), counted up to 10,000 a name."),
        row("jobs_discarded", "gauge", ["kind"], "scheduler", "Waiting for a person, counted up to 10,000 a queue."),
        row("queue_workers", "gauge", ["role"], "scheduler", "Processes not declared dead: worker, scheduler."),
        row("duty_failures_total", "counter", ["duty"], "scheduler", "Runs of a periodic duty that failed."),
        row(
            "http_request_seconds", "histogram", ["listener", "method", "route", "status"], "front",
            "From a request's head to its answer's end."),
        row(
            "egress_requests_total", "counter", ["outcome"], "worker, front",
            "Outgoing requests: not sent, answered, ambiguous."),
        row("egress_duration_seconds", "histogram", [], "worker, front", "Time of an outgoing request."),
    ]

    /// The Markdown table.
    package static var document: String {
        (["| Name | Type | Labels | Process | Meaning |", "| --- | --- | --- | --- | --- |"]
            + rows.map { row in
                let labels = row.labels.map { "`\($0)`" }.joined(separator: ", ")
                return "| `\(row.name)` | \(row.type) | \(labels) | \(row.process) | \(row.meaning) |"
            }).joined(separator: "\n") + "\n"
    }

    static func meaning(of name: String) -> String? { meanings[name] }

    private static let meanings = Dictionary(uniqueKeysWithValues: rows.map { ($0.name, $0.meaning) })

    private static func row(
        _ name: String, _ type: String, _ labels: [String], _ process: String, _ meaning: String
    ) -> Row {
        Row(name: "evergrant_" + name, type: type, labels: labels, process: process, meaning: meaning)
    }
}
