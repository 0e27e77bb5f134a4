// The queue's hot path driven straight through libpq, by threads that do nothing else: the most that any client of the
// same statements can reach on this machine. Statements and payloads come from the caller, so that both sides of a
// comparison send the same SQL and the same bytes.
#pragma once
#include <stdint.h>

enum queue_ceiling_mode {
    // Every thread enqueues a batch, settles what it holds and claims the next, in one pipeline with one sync: one commit.
    QUEUE_CEILING_LIFE = 0,
    // `connections` threads settle and claim, `enqueuers` others enqueue: two commits, as when app and worker are apart.
    QUEUE_CEILING_SPLIT = 1,
    // Settle and claim what is there until `total` jobs are settled.
    QUEUE_CEILING_DRAIN = 2,
};

typedef struct {
    const char *conninfo;
    const char *session;  // SQL run after each connect
    const char *enqueue, *settle_and_claim, *last_id, *fence, *raise_low, *register_worker;
    enum queue_ceiling_mode mode;
    int connections, enqueuers, batch;
    double seconds;        // how long; in drain, when to give up
    int64_t total;         // drain: how many jobs; else INT64_MAX
    int64_t ahead;         // split: how many jobs enqueuers may be ahead
    int32_t queue, kind;
    int16_t priority;
    int64_t low;           // low-water mark to begin with
    double server;         // the server's start, seconds since 1970, that `low` is from
    double scout_interval; // seconds between rises of the low-water mark
    const char *const *payloads;  // JSON objects, used in turn
    const int *payload_lengths;
    int payload_count;
} queue_ceiling_plan;

enum { QUEUE_CEILING_SAMPLES = 1200 };

typedef struct {
    double seconds;                          // of the measured time
    int64_t enqueued, settled;               // within it
    int64_t enqueued_in_all, settled_in_all; // with what was under way at its end
    int64_t exchanges, lost, rises;
    double p50, p99;                         // seconds of one exchange
    int sample_count;
    int64_t samples[QUEUE_CEILING_SAMPLES];  // settled at the end of each second
    char error[512];
} queue_ceiling_figures;

// Blocks until done. 0, or 1 with `error` set.
int queue_ceiling_run(const queue_ceiling_plan *plan, queue_ceiling_figures *figures);
