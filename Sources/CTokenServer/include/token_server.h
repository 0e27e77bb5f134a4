// A token endpoint that answers every refresh after a fixed time and costs next to nothing: one thread, epoll, no parsing
// beyond the length of a request. For measurements only; it checks nothing.
#pragma once
#include <stdint.h>

typedef struct {
    int64_t latency_us;        // from the last byte of a request to its answer
    int tls;                   // 1: TLS with a certificate of its own for 127.0.0.1, and never a resumed session
    const char *certificate;   // where that certificate is written, as PEM; only with tls
    int64_t expires_in;        // seconds, in every answer
} token_server_options;

typedef struct token_server token_server;

// Listens on a free port of 127.0.0.1. NULL when it cannot; errno tells why.
token_server *token_server_open(const token_server_options *options, int *port);

// Serves until the process ends. Returns only when epoll fails.
int token_server_run(token_server *server);
