#include "queue_ceiling.h"
#include "parameters.h"
#include <libpq-fe.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LATENCIES = 1 << 20 };

// What the threads of one run share.
typedef struct {
    const queue_ceiling_plan *plan;
    queue_ceiling_figures *figures;
    atomic_llong enqueued, settled, exchanges, lost, rises, low;
    atomic_int stop, ready, go;
    pthread_mutex_t lock;
    pthread_cond_t moved;  // jobs were enqueued or settled, or the run begins or stops
    pthread_cond_t ended;  // there is something for the main thread
} Run;

typedef struct {
    Run *run;
    int number;
    float *latencies;
    int latency_count;
} Worker;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void wake(Run *run) {
    pthread_mutex_lock(&run->lock);
    pthread_cond_broadcast(&run->moved);
    if (atomic_load(&run->stop) || atomic_load(&run->settled) >= run->plan->total) pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->lock);
}

// Until `condition` is signalled or `seconds` are over.
static void await(Run *run, pthread_cond_t *condition, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    long nanoseconds = until.tv_nsec + (long)(seconds * 1e9);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&run->lock);
    if (!atomic_load(&run->stop)) pthread_cond_timedwait(condition, &run->lock, &until);
    pthread_mutex_unlock(&run->lock);
}

// Ends the run; the first error is kept.
static void fail(Run *run, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&run->lock);
    if (!run->figures->error[0]) vsnprintf(run->figures->error, sizeof run->figures->error, format, arguments);
    pthread_mutex_unlock(&run->lock);
    va_end(arguments);
    atomic_store(&run->stop, 1);
    wake(run);
}

// MARK: Connections

static int check(Run *run, PGconn *connection, PGresult *result, const char *what) {
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_PIPELINE_SYNC) return 1;
    fail(run, "%s: %s", what, result ? PQresultErrorMessage(result) : PQerrorMessage(connection));
    return 0;
}

static int prepare(Run *run, PGconn *connection, const char *name, const char *sql, int count, const Oid *types) {
    PGresult *result = PQprepare(connection, name, sql, count, types);
    int good = check(run, connection, result, name);
    PQclear(result);
    return good;
}

static PGconn *open_session(Run *run) {
    PGconn *connection = PQconnectdb(run->plan->conninfo);
    if (PQstatus(connection) != CONNECTION_OK) {
        fail(run, "connect: %s", PQerrorMessage(connection));
        return connection;
    }
    PGresult *result = PQexec(connection, run->plan->session);
    check(run, connection, result, "session settings");
    PQclear(result);
    static const Oid enqueue[] = {INT4S, INT4S, INT2S, INT2S, TEXTS, JSONBS};
    static const Oid exchange[] = {INT8S, INT8, INT4S, INT2S, INT8S, INT4S, FLOAT8};
    static const Oid low[] = {XID8, INT8, INT4S, INT2S, INT8S, FLOAT8};
    prepare(run, connection, "enqueue", run->plan->enqueue, 6, enqueue);
    prepare(run, connection, "exchange", run->plan->settle_and_claim, 7, exchange);
    prepare(run, connection, "last", run->plan->last_id, 0, NULL);
    prepare(run, connection, "fence", run->plan->fence, 0, NULL);
    prepare(run, connection, "low", run->plan->raise_low, 6, low);
    return connection;
}

static PGresult *execute(Run *run, PGconn *connection, const char *name, Parameters *p) {
    PGresult *result = PQexecPrepared(
        connection, name, p->count, (const char *const *)p->values, p->lengths, p->formats, 1);
    if (check(run, connection, result, name)) return result;
    PQclear(result);
    return NULL;
}

// Both statements in one pipeline; the answer of the exchange.
static PGresult *execute_both(Run *run, PGconn *connection, Parameters *enqueue, Parameters *exchange) {
    PQenterPipelineMode(connection);
    PQsendQueryPrepared(connection, "enqueue", enqueue->count, (const char *const *)enqueue->values, enqueue->lengths,
        enqueue->formats, 1);
    PQsendQueryPrepared(connection, "exchange", exchange->count, (const char *const *)exchange->values,
        exchange->lengths, exchange->formats, 1);
    PQpipelineSync(connection);
    PGresult *answers[3];
    for (int i = 0; i < 3; i++) {
        answers[i] = PQgetResult(connection);
        if (i < 2) PQclear(PQgetResult(connection));  // the null that ends a statement's results
    }
    PQexitPipelineMode(connection);
    int good = check(run, connection, answers[0], "enqueue") && check(run, connection, answers[1], "exchange");
    PQclear(answers[0]);
    PQclear(answers[2]);
    if (good) return answers[1];
    PQclear(answers[1]);
    return NULL;
}

// MARK: Threads

static void begin_together(Run *run) {
    atomic_fetch_add(&run->ready, 1);
    while (!atomic_load(&run->go) && !atomic_load(&run->stop)) await(run, &run->moved, 0.01);
}

static int64_t registered(Run *run, PGconn *connection) {
    const char *name[] = {"ceiling"};
    PGresult *result = PQexecParams(connection, run->plan->register_worker, 1, NULL, name, NULL, NULL, 1);
    int64_t worker = check(run, connection, result, "register worker") ? get64(PQgetvalue(result, 0, 0)) : 0;
    PQclear(result);
    return worker;
}

static void *work(void *argument) {
    Worker *self = argument;
    Run *run = self->run;
    const queue_ceiling_plan *plan = run->plan;
    PGconn *connection = open_session(run);
    int64_t worker = atomic_load(&run->stop) ? 0 : registered(run, connection), lease = 0, checksum = 0;
    int held = 0, enqueues = plan->mode == QUEUE_CEILING_LIFE;
    unsigned turn = (unsigned)self->number * 97;
    Parameters enqueue = {0}, exchange = {0};
    begin_together(run);
    while (1) {
        // At the end what is held is settled and nothing more is claimed.
        int stopping = atomic_load(&run->stop);
        if (stopping && !lease) break;
        double began = now();
        add_exchange(&exchange, plan, lease, worker, atomic_load(&run->low), stopping ? 0 : plan->batch);
        PGresult *result;
        if (enqueues && !stopping) {
            add_enqueue(&enqueue, plan, &turn);
            result = execute_both(run, connection, &enqueue, &exchange);
            if (result) atomic_fetch_add(&run->enqueued, plan->batch);
        } else {
            result = execute(run, connection, "exchange", &exchange);
        }
        if (!result) break;
        int settled = held;
        if (lease && get64(PQgetvalue(result, 0, 0)) == 1) {
            atomic_fetch_add(&run->settled, held);
        } else if (lease) {
            atomic_fetch_add(&run->lost, held);
        }
        lease = PQgetisnull(result, 0, 1) ? 0 : get64(PQgetvalue(result, 0, 1));
        held = lease ? PQntuples(result) : 0;
        for (int i = 0; i < held; i++) checksum += get64(PQgetvalue(result, i, 3)) + PQgetvalue(result, i, 11)[0];
        PQclear(result);
        atomic_fetch_add(&run->exchanges, 1);
        if (self->latency_count < LATENCIES) self->latencies[self->latency_count++] = (float)(now() - began);
        if (settled && plan->mode != QUEUE_CEILING_LIFE) wake(run);
        if (!held && !settled && !enqueues) await(run, &run->moved, 0.001);
    }
    if (checksum == 42) fprintf(stderr, " ");  // so that reading the rows is not optimised away
    free_parameters(&enqueue);
    free_parameters(&exchange);
    PQfinish(connection);
    return NULL;
}

static void *enqueue_only(void *argument) {
    Worker *self = argument;
    Run *run = self->run;
    const queue_ceiling_plan *plan = run->plan;
    PGconn *connection = open_session(run);
    unsigned turn = (unsigned)self->number * 97;
    Parameters enqueue = {0};
    begin_together(run);
    while (!atomic_load(&run->stop)) {
        if (atomic_load(&run->enqueued) - atomic_load(&run->settled) > plan->ahead) {
            await(run, &run->moved, 0.001);
            continue;
        }
        add_enqueue(&enqueue, plan, &turn);
        PGresult *result = execute(run, connection, "enqueue", &enqueue);
        if (!result) break;
        PQclear(result);
        atomic_fetch_add(&run->enqueued, plan->batch);
        wake(run);
    }
    free_parameters(&enqueue);
    PQfinish(connection);
    return NULL;
}

// Raises the low-water mark as a runner's scout does: the last id, then a transaction id, then, when every older
// transaction is over, the least id that can still matter.
static void *scout(void *argument) {
    Run *run = argument;
    const queue_ceiling_plan *plan = run->plan;
    PGconn *connection = open_session(run);
    Parameters none = {0}, p = {0};
    while (!atomic_load(&run->stop)) {
        PGresult *last = execute(run, connection, "last", &none);
        PGresult *fence = last ? execute(run, connection, "fence", &none) : NULL;
        int raised = 0;
        while (fence && !raised && !atomic_load(&run->stop)) {
            struct timespec pause = {0, (long)(plan->scout_interval * 1e9)};
            nanosleep(&pause, NULL);
            p.count = 0;
            memcpy(room(&p, 8), PQgetvalue(fence, 0, 0), 8);
            memcpy(room(&p, 8), PQgetvalue(last, 0, 0), 8);
            add_array(&p, INT4, 1, 4, plan->queue);
            add_array(&p, INT2, 1, 2, plan->priority);
            add_array(&p, INT8, 1, 8, atomic_load(&run->low));
            put_double(room(&p, 8), plan->server);
            PGresult *result = execute(run, connection, "low", &p);
            if (!result) break;
            if (PQntuples(result) == 1) {
                atomic_store(&run->low, get64(PQgetvalue(result, 0, 2)));
                atomic_fetch_add(&run->rises, 1);
                raised = 1;
            }
            PQclear(result);
        }
        PQclear(last);
        PQclear(fence);
    }
    free_parameters(&p);
    PQfinish(connection);
    return NULL;
}

// MARK: The run

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return a < b ? -1 : a > b;
}

static void percentiles(Worker *workers, int count, queue_ceiling_figures *figures) {
    int total = 0, at = 0;
    for (int i = 0; i < count; i++) total += workers[i].latency_count;
    float *all = malloc(sizeof(float) * (size_t)(total + 1));
    for (int i = 0; i < count; i++) {
        memcpy(all + at, workers[i].latencies, sizeof(float) * (size_t)workers[i].latency_count);
        at += workers[i].latency_count;
    }
    qsort(all, (size_t)total, sizeof(float), compare);
    figures->p50 = total ? all[total / 2] : 0;
    figures->p99 = total ? all[(int)(total * 0.99)] : 0;
    free(all);
}

int queue_ceiling_run(const queue_ceiling_plan *plan, queue_ceiling_figures *figures) {
    memset(figures, 0, sizeof *figures);
    Run run = {.plan = plan, .figures = figures, .lock = PTHREAD_MUTEX_INITIALIZER};
    atomic_store(&run.low, plan->low);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run.moved, &attributes);
    pthread_cond_init(&run.ended, &attributes);
    int enqueuers = plan->mode == QUEUE_CEILING_SPLIT ? plan->enqueuers : 0, count = plan->connections + enqueuers;
    Worker *workers = calloc((size_t)count, sizeof(Worker));
    pthread_t *threads = calloc((size_t)count, sizeof(pthread_t)), scouting;
    for (int i = 0; i < count; i++) {
        workers[i] = (Worker){.run = &run, .number = i, .latencies = malloc(sizeof(float) * LATENCIES)};
        pthread_create(&threads[i], NULL, i < plan->connections ? work : enqueue_only, &workers[i]);
    }
    while (atomic_load(&run.ready) < count && !atomic_load(&run.stop)) await(&run, &run.ended, 0.001);
    pthread_create(&scouting, NULL, scout, &run);
    double began = now(), ends = began + plan->seconds;
    atomic_store(&run.go, 1);
    wake(&run);
    for (double second = began + 1; !atomic_load(&run.stop);) {
        double left = (second < ends ? second : ends) - now();
        if (left > 0) await(&run, &run.ended, left);
        int drained = plan->mode == QUEUE_CEILING_DRAIN && atomic_load(&run.settled) >= plan->total;
        double time = now();
        if (time >= second && figures->sample_count < QUEUE_CEILING_SAMPLES) {
            figures->samples[figures->sample_count++] = atomic_load(&run.settled);
            second += 1;
        }
        if (!drained && time < ends) continue;
        if (plan->mode == QUEUE_CEILING_DRAIN && !drained) {
            fail(&run, "drain: %lld of %lld jobs in %.0f s", (long long)atomic_load(&run.settled),
                (long long)plan->total, plan->seconds);
        }
        figures->seconds = time - began;
        figures->enqueued = atomic_load(&run.enqueued);
        figures->settled = atomic_load(&run.settled);
        atomic_store(&run.stop, 1);
        wake(&run);
    }
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    pthread_join(scouting, NULL);
    figures->enqueued_in_all = atomic_load(&run.enqueued);
    figures->settled_in_all = atomic_load(&run.settled);
    figures->exchanges = atomic_load(&run.exchanges);
    figures->lost = atomic_load(&run.lost);
    figures->rises = atomic_load(&run.rises);
    percentiles(workers, plan->connections, figures);
    for (int i = 0; i < count; i++) free(workers[i].latencies);
    free(workers);
    free(threads);
    pthread_cond_destroy(&run.moved);
    pthread_cond_destroy(&run.ended);
    pthread_condattr_destroy(&attributes);
    return figures->error[0] ? 1 : 0;
}
