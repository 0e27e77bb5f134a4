// Parameters of the hot path's statements in Postgres's binary form.
#pragma once
#include "queue_ceiling.h"
#include <libpq-fe.h>

enum { INT2 = 21, INT4 = 23, INT8 = 20, TEXT = 25, JSONB = 3802, FLOAT8 = 701, XID8 = 5069 };
enum { INT2S = 1005, INT4S = 1007, INT8S = 1016, TEXTS = 1009, JSONBS = 3807 };
enum { PARAMETERS = 8 };

// The parameters of one statement, kept between its executions.
typedef struct {
    int count;
    char *values[PARAMETERS];
    int lengths[PARAMETERS], formats[PARAMETERS], capacities[PARAMETERS];
} Parameters;

int64_t get64(const char *at);
void put64(char *at, int64_t value);
void put_double(char *at, double value);
// Room for one more parameter of that length.
char *room(Parameters *p, int length);
// `count` times the same value of `size` bytes; -1: null.
void add_array(Parameters *p, Oid type, int count, int size, int64_t value);
// One batch of jobs, payloads from `turn` on.
void add_enqueue(Parameters *p, const queue_ceiling_plan *plan, unsigned *turn);
// Settle `lease` unless 0, claim `want` jobs from `low` on.
void add_exchange(Parameters *p, const queue_ceiling_plan *plan, int64_t lease, int64_t worker, int64_t low, int want);
void free_parameters(Parameters *p);
