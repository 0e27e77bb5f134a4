// What Swift cannot say to libcurl by itself: its variadic calls, one function per type of argument, and the guard that
// looks at the address of every socket before it is opened.
#ifndef EVERGRANT_CLIBCURL_H
#define EVERGRANT_CLIBCURL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

// MARK: options and information

CURLcode evergrant_easy_set_long(CURL *easy, CURLoption option, long value);
CURLcode evergrant_easy_set_offset(CURL *easy, CURLoption option, curl_off_t value);
CURLcode evergrant_easy_set_string(CURL *easy, CURLoption option, const char *value);
CURLcode evergrant_easy_set_pointer(CURL *easy, CURLoption option, const void *value);
CURLcode evergrant_easy_set_list(CURL *easy, CURLoption option, struct curl_slist *value);
CURLcode evergrant_easy_get_long(CURL *easy, CURLINFO info, long *value);
CURLMcode evergrant_multi_set_long(CURLM *multi, CURLMoption option, long value);

/// `size_t (*)(bytes, 1, count, context)`: libcurl's write, header and read callbacks have this one shape.
typedef size_t (*evergrant_bytes_callback)(char *bytes, size_t size, size_t count, void *context);
/// The call right before the bytes of a request leave.
typedef int (*evergrant_prerequest_callback)(
    void *context, char *peer_address, char *own_address, int peer_port, int own_port);

CURLcode evergrant_easy_set_write(CURL *easy, evergrant_bytes_callback callback, void *context);
CURLcode evergrant_easy_set_header(CURL *easy, evergrant_bytes_callback callback, void *context);
CURLcode evergrant_easy_set_read(CURL *easy, evergrant_bytes_callback callback, void *context);
CURLcode evergrant_easy_set_prerequest(CURL *easy, evergrant_prerequest_callback callback, void *context);

// MARK: bell

/// An eventfd that wakes a thread inside `curl_multi_poll`, where it stands as an extra descriptor. -1 and errno on failure.
int evergrant_bell_open(void);
void evergrant_bell_ring(int bell);
/// Takes back all rings so far.
void evergrant_bell_silence(int bell);

// MARK: address guard

enum evergrant_address_mode {
    EVERGRANT_ADDRESS_PUBLIC_ONLY = 0,
    EVERGRANT_ADDRESS_ALLOWING = 1,
    EVERGRANT_ADDRESS_LOOPBACK_ONLY = 2,
};

/// A CIDR block: `length` is 4 or 16 (bytes of the address), `prefix` counts bits.
struct evergrant_network {
    uint8_t length;
    uint8_t prefix;
    uint8_t bytes[16];
};

/// `networks` is read in the mode ALLOWING only.
struct evergrant_address_guard {
    enum evergrant_address_mode mode;
    const struct evergrant_network *networks;
    size_t network_count;
};

/// Tells whether a socket to `address` may be opened. Families other than IPv4 and IPv6 never may.
bool evergrant_address_permitted(
    const struct evergrant_address_guard *guard, const struct sockaddr *address, socklen_t length);

/// Counts, for one transfer, the sockets that the guard let through and the ones it refused.
struct evergrant_guarded_sockets {
    const struct evergrant_address_guard *guard;
    uint32_t opened;
    uint32_t refused;
};

/// Puts the guard between name resolution and `socket(2)` of every connection of `easy`. `sockets` outlives the transfer.
CURLcode evergrant_easy_set_guard(CURL *easy, struct evergrant_guarded_sockets *sockets);

#endif
