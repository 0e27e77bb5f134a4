#include "parameters.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void put16(char *at, int16_t value) { uint16_t big = htons((uint16_t)value); memcpy(at, &big, 2); }
static void put32(char *at, int32_t value) { uint32_t big = htonl((uint32_t)value); memcpy(at, &big, 4); }
void put64(char *at, int64_t value) { put32(at, (int32_t)(value >> 32)); put32(at + 4, (int32_t)value); }
void put_double(char *at, double value) { int64_t bits; memcpy(&bits, &value, 8); put64(at, bits); }
int64_t get64(const char *at) {
    uint32_t high, low;
    memcpy(&high, at, 4);
    memcpy(&low, at + 4, 4);
    return (int64_t)((uint64_t)ntohl(high) << 32 | ntohl(low));
}

char *room(Parameters *p, int length) {
    int index = p->count++;
    if (p->capacities[index] < length) {
        p->values[index] = realloc(p->values[index], (size_t)length);
        p->capacities[index] = length;
    }
    p->lengths[index] = length;
    p->formats[index] = 1;
    return p->values[index];
}

void free_parameters(Parameters *p) { for (int i = 0; i < PARAMETERS; i++) free(p->values[i]); }

static char *put_header(char *at, int count, Oid type, int has_null) {
    put32(at, count ? 1 : 0);
    put32(at + 4, has_null);
    put32(at + 8, (int32_t)type);
    if (count) { put32(at + 12, count); put32(at + 16, 1); }
    return at + (count ? 20 : 12);
}

void add_array(Parameters *p, Oid type, int count, int size, int64_t value) {
    char *at = room(p, 20 + count * (4 + (size > 0 ? size : 0)));
    at = put_header(at, count, type, size < 0);
    if (!count) p->lengths[p->count - 1] = 12;
    for (int i = 0; i < count; i++) {
        put32(at, size);
        if (size == 2) put16(at + 4, (int16_t)value);
        if (size == 4) put32(at + 4, (int32_t)value);
        if (size == 8) put64(at + 4, value);
        at += 4 + (size > 0 ? size : 0);
    }
}

void add_enqueue(Parameters *p, const queue_ceiling_plan *plan, unsigned *turn) {
    int count = plan->batch, size = 20;
    p->count = 0;
    add_array(p, INT4, count, 4, plan->queue);
    add_array(p, INT4, count, 4, plan->kind);
    add_array(p, INT2, count, 2, plan->priority);
    add_array(p, INT2, count, 2, 25);
    add_array(p, TEXT, count, -1, 0);
    for (int i = 0; i < count; i++) size += 5 + plan->payload_lengths[(*turn + i) % plan->payload_count];
    char *at = put_header(room(p, size), count, JSONB, 0);
    for (int i = 0; i < count; i++, (*turn)++) {
        int payload = *turn % plan->payload_count, length = plan->payload_lengths[payload];
        put32(at, length + 1);
        at[4] = 1;  // jsonb's version
        memcpy(at + 5, plan->payloads[payload], (size_t)length);
        at += 5 + length;
    }
}

void add_exchange(Parameters *p, const queue_ceiling_plan *plan, int64_t lease, int64_t worker, int64_t low, int want) {
    p->count = 0;
    add_array(p, INT8, lease ? 1 : 0, 8, lease);
    put64(room(p, 8), worker);
    add_array(p, INT4, want ? 1 : 0, 4, plan->queue);
    add_array(p, INT2, want ? 1 : 0, 2, plan->priority);
    add_array(p, INT8, want ? 1 : 0, 8, low);
    add_array(p, INT4, want ? 1 : 0, 4, want);
    put_double(room(p, 8), plan->server);
}
