#define _GNU_SOURCE
#include "token_server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 16384, EVENTS = 256 };

typedef struct connection {
    int fd;
    SSL *ssl;
    int accepted;              // the TLS handshake is over
    size_t length;             // of `buffer`
    size_t sent, to_send;      // of `answer`
    int64_t due;               // when the answer leaves; 0: no request is whole
    int closing;               // the client has gone; freed when its answer was due
    struct connection *next;   // in order of `due`
    char buffer[ROOM];
    char answer[1024];
} connection;

struct token_server {
    token_server_options options;
    int listener, poll;
    SSL_CTX *tls;
    connection *first, *last;
    uint64_t answers;
};

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// A key and certificate made now: nothing secret is kept with the program.
static SSL_CTX *make_tls(const char *path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!key || !certificate || !context) return NULL;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"evergrant-bench", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    const struct { int nid; const char *value; } extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE"}, {NID_subject_alt_name, "IP:127.0.0.1"}};
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        X509V3_CTX v3;
        X509V3_set_ctx_nodb(&v3);
        X509V3_set_ctx(&v3, certificate, certificate, NULL, NULL, 0);
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &v3, extensions[i].nid, extensions[i].value);
        if (!extension) return NULL;
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    if (!X509_sign(certificate, key, EVP_sha256())) return NULL;
    FILE *file = fopen(path, "w");
    if (!file) return NULL;
    int written = PEM_write_X509(file, certificate);
    if (fclose(file) != 0 || !written) return NULL;
    if (SSL_CTX_use_certificate(context, certificate) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1) return NULL;
    X509_free(certificate);
    EVP_PKEY_free(key);
    // Each send of a provider that rotates is a connection of its own; no ticket makes one cheaper.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

token_server *token_server_open(const token_server_options *options, int *port) {
    token_server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    server->options = *options;
    if (options->tls && !(server->tls = make_tls(options->certificate))) {
        errno = errno ? errno : EINVAL;
        return NULL;
    }
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    server->poll = epoll_create1(EPOLL_CLOEXEC);
    if (server->listener < 0 || server->poll < 0) return NULL;
    int on = 1;
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(server->listener, (struct sockaddr *)&address, size) < 0 || listen(server->listener, 4096) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) < 0)
        return NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(server->poll, EPOLL_CTL_ADD, server->listener, &event) < 0) return NULL;
    *port = ntohs(address.sin_port);
    return server;
}

static void drop(connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    if (c->ssl) SSL_free(c->ssl);
    c->ssl = NULL;
    // One in the line of answers is freed when its turn comes.
    if (c->due) c->closing = 1;
    else free(c);
}

static void watch(token_server *server, connection *c, uint32_t events) {
    struct epoll_event event = {.events = events | EPOLLRDHUP, .data.ptr = c};
    epoll_ctl(server->poll, EPOLL_CTL_MOD, c->fd, &event);
}

static void take_in(token_server *server) {
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection *c = malloc(sizeof *c);
        if (!c) { close(fd); return; }
        memset(c, 0, offsetof(connection, buffer));
        c->fd = fd;
        c->accepted = !server->tls;
        if (server->tls) {
            c->ssl = SSL_new(server->tls);
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl);
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(server->poll, EPOLL_CTL_ADD, fd, &event);
    }
}

// Whether the request in the buffer is whole: head, and as much body as it says.
static int is_whole(connection *c) {
    char *end = memmem(c->buffer, c->length, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - c->buffer) + 4, body = 0;
    for (char *line = c->buffer; line < end; ) {
        char *stop = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (!stop) break;
        if (stop - line > 15 && strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
        line = stop + 2;
    }
    return c->length >= head + body;
}

static void compose(token_server *server, connection *c) {
    char body[700];
    uint64_t n = ++server->answers;
    // Lengths as real providers have them.
    int size = snprintf(
        body, sizeof body,
        "{\"access_token\":\"bench_at_%0200llx\",\"token_type\":\"bearer\",\"expires_in\":%lld,"
        "\"refresh_token\":\"bench_rt_%0100llx\",\"scope\":\"read write\"}",
        (unsigned long long)n, (long long)server->options.expires_in, (unsigned long long)n);
    c->to_send = (size_t)snprintf(
        c->answer, sizeof c->answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", size,
        body);
    c->sent = 0;
}

// Sends what is left of the answer; 0 when the connection has ended.
static int answer(token_server *server, connection *c) {
    while (c->sent < c->to_send) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, c->answer + c->sent, (int)(c->to_send - c->sent))
                           : send(c->fd, c->answer + c->sent, c->to_send - c->sent, MSG_NOSIGNAL);
        if (n > 0) { c->sent += (size_t)n; continue; }
        int wait = c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE : errno == EAGAIN;
        if (!wait) return 0;
        watch(server, c, EPOLLIN | EPOLLOUT);
        return 1;
    }
    c->to_send = c->sent = c->length = 0;
    return 1;
}

static void receive(token_server *server, connection *c) {
    if (!c->accepted) {
        int n = SSL_do_handshake(c->ssl);
        if (n != 1) {
            int why = SSL_get_error(c->ssl, n);
            if (why == SSL_ERROR_WANT_READ) return;
            if (why == SSL_ERROR_WANT_WRITE) { watch(server, c, EPOLLIN | EPOLLOUT); return; }
            drop(c);
            return;
        }
        c->accepted = 1;
    }
    for (;;) {
        if (c->length == ROOM) { drop(c); return; }
        ssize_t n = c->ssl ? SSL_read(c->ssl, c->buffer + c->length, (int)(ROOM - c->length))
                           : recv(c->fd, c->buffer + c->length, ROOM - c->length, 0);
        if (n > 0) { c->length += (size_t)n; continue; }
        int wait = c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
        if (!wait) { drop(c); return; }
        break;
    }
    if (c->due || c->to_send || !is_whole(c)) return;
    c->due = now_us() + server->options.latency_us;
    c->next = NULL;
    if (server->last) server->last->next = c;
    else server->first = c;
    server->last = c;
}

// Answers whoever has waited long enough; microseconds until the next, -1 when none waits.
static int64_t answer_due(token_server *server) {
    while (server->first) {
        connection *c = server->first;
        int64_t wait = c->due - now_us();
        if (wait > 0) return wait;
        server->first = c->next;
        if (!server->first) server->last = NULL;
        c->due = 0;
        if (c->closing) { free(c); continue; }
        compose(server, c);
        if (!answer(server, c)) drop(c);
    }
    return -1;
}

int token_server_run(token_server *server) {
    struct epoll_event events[EVENTS];
    for (;;) {
        int64_t wait = answer_due(server);
        struct timespec limit = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        int n = epoll_pwait2(server->poll, events, EVENTS, wait < 0 ? NULL : &limit, NULL);
        if (n < 0 && errno != EINTR) return errno;
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!c) { take_in(server); continue; }
            if (c->to_send && events[i].events & EPOLLOUT) {
                if (!answer(server, c)) { drop(c); continue; }
                if (!c->to_send) watch(server, c, EPOLLIN);
                continue;
            }
            receive(server, c);
        }
    }
}
