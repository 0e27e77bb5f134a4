import Foundation
import Postgres
import TestSupport

@testable import Queue

/// A queue with a few hundred thousand rows in its tables.
struct LargeTables: Sendable {
    /// Tables that grow with the number of jobs: no statement may read one from end to end.
    static let large = [
        "jobs_ready", "jobs_scheduled", "jobs_parked", "jobs_discarded", "jobs_finished", "job_keys", "lease_marks",
        "job_wishes",
    ]

    /// Fills every table up to `size` rows (some less, as they are in life), in a database that has `done` so far.
    static func fill(_ fixture: QueueFixture, from done: Int, to size: Int) async throws {
        let (first, last) = (done + 1, size)
        try await fixture.run(
            """
            insert into evergrant.queues (environment_id, name)
            select g, 'default' from generate_series(\(first), \(min(last, 50))) g;
            insert into evergrant.job_kinds (name) select 'k' || g from generate_series(\(first), \(min(last, 5))) g;
            -- In line: a tenth with keys, a twentieth queued again under an older id.
            insert into evergrant.jobs_ready (queue, kind, priority, args, space, ukey, job_id)
            select 1 + g % 50, 1 + g % 5, g % 4, '{}', case when g % 10 = 0 then 0 end,
                case when g % 10 = 0 then convert_to('ready ' || g, 'UTF8') end,
                case when g % 20 = 1 then -g end
            from generate_series(\(first), \(last)) g;
            insert into evergrant.job_keys (space, key, job_id, queue, priority)
            select 0, ukey, id, queue, priority from evergrant.jobs_ready
            where ukey is not null on conflict do nothing;
            insert into evergrant.jobs_scheduled
            select now() + (g - 500) * interval '1 second', 10000000 + g,
                evergrant.fresh_job(10000000 + g, 1 + g % 50, 1 + g % 5, 2::smallint, 25::smallint,
                    case when g % 10 = 0 then 0 end::smallint,
                    case when g % 10 = 0 then convert_to('later ' || g, 'UTF8') end, null, '{}')
            from generate_series(\(first), \(last)) g;
            insert into evergrant.job_keys (space, key, job_id, queue, priority)
            select 0, convert_to('later ' || g, 'UTF8'), 10000000 + g, 1 + g % 50, 2
            from generate_series(\(first), \(last)) g where g % 10 = 0;
            insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
            select 20000000 + g, 'kind', 'k' || g % 500,
                evergrant.fresh_job(20000000 + g, 1 + g % 50, 1 + g % 5, 2::smallint, 25::smallint, null, null, null, '{}')
            from generate_series(\(first), \(last) / 2) g;
            insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
            select 25000000 + g, 'wait', 'w' || g % 500,
                evergrant.fresh_job(25000000 + g, 1 + g % 50, 1 + g % 5, 2::smallint, 25::smallint, null, null,
                    'w' || g % 500, '{}')
            from generate_series(\(first), \(last) / 2) g;
            select evergrant.set_limit('w' || g, 10, null, null) from generate_series(\(first), \(min(last, 500))) g;
            insert into evergrant.jobs_discarded (job_id, job)
            select 30000000 + g,
                evergrant.fresh_job(30000000 + g, 1 + g % 50, 1 + g % 5, 2::smallint, 25::smallint, null, null, null, '{}')
            from generate_series(\(first), \(last) / 2) g;
            insert into evergrant.jobs_finished
                (long, outcome, attempt, queue, kind, job_id, created_at, finished_at, args)
            select g % 5 = 0, case when g % 5 = 0 then 6 else 0 end, 1, 1 + g % 50, 1 + g % 5, 40000000 + g, now(),
                now() - interval '1 day' + g * interval '1 millisecond', '{}'
            from generate_series(\(first), \(last)) g;
            insert into evergrant.lease_marks select 1000000 + g, g from generate_series(\(first), \(last) / 2) g;
            insert into evergrant.job_wishes
                (space, key, queue, priority, kind, max_attempts, args, run_at)
            select 0, convert_to('wish ' || g, 'UTF8'), 1, 2, 1, 25, '{}', now()
            from generate_series(\(first), \(last) / 100) g;
            """)
    }

    /// BRIN ranges come into the index with vacuum only, which is off here.
    static func summarize(_ fixture: QueueFixture) async throws {
        try await fixture.run(
            """
            select brin_summarize_new_values(i.indexrelid) from pg_index i
            join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
            where a.amname = 'brin' and c.relkind = 'i';
            """)
    }
}
