// The guard sees the sockaddr that libcurl is about to connect to, after name resolution and after libcurl has read every
// spelling of an address (0x7f000001, 2130706433, [::ffff:127.0.0.1]), so neither a rebinding name nor an odd literal
// gets past it. It does not run for a connection taken from a cache: a cache belongs to one policy.

#include "CLibCurl.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

struct block {
    uint8_t prefix;
    uint8_t bytes[16];
};

// Never public: IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast and reserved space.
static const struct block special4[] = {
    {8, {0}},                      // this network
    {8, {10}},                     // private, RFC 1918
    {10, {100, 64}},               // carrier-grade NAT, RFC 6598
    {8, {127}},                    // loopback
    {16, {169, 254}},              // link-local, and the metadata of most clouds
    {12, {172, 16}},               // private
    {24, {192, 0, 0}},             // protocol assignments
    {24, {192, 0, 2}},             // documentation
    {24, {192, 88, 99}},           // 6to4 relays, deprecated by RFC 7526
    {16, {192, 168}},              // private
    {15, {198, 18}},               // benchmarks, RFC 2544
    {24, {198, 51, 100}},          // documentation
    {24, {203, 0, 113}},           // documentation
    {3, {224}},                    // multicast, reserved, broadcast
};

// Never public inside 2000::/3 (all else outside it is not public at all): IANA IPv6 Special-Purpose Address Registry.
static const struct block special6[] = {
    {23, {0x20, 0x01}},                    // protocol assignments, Teredo among them
    {32, {0x20, 0x01, 0x0d, 0xb8}},        // documentation
    {16, {0x20, 0x02}},                    // 6to4: an IPv4 address in disguise
    {20, {0x3f, 0xff}},                    // documentation, RFC 9637
};

// Metadata services, which answer with credentials of the machine: refused whatever the operator allows.
static const struct block metadata4[] = {
    {16, {169, 254}},              // AWS, Google, Azure, Oracle, DigitalOcean and others
    {32, {100, 100, 100, 200}},    // Alibaba
    {32, {168, 63, 129, 16}},      // Azure's WireServer, in public space
    {32, {192, 0, 0, 192}},        // Oracle, older
};
static const struct block metadata6[] = {
    {128, {0xfd, 0x00, 0x0e, 0xc2, [15] = 0x54, [14] = 0x02}},    // AWS, fd00:ec2::254
    {128, {0xfd, 0x20, 0x00, 0xce, [15] = 0x54, [14] = 0x02}},    // Google, fd20:ce::254
};

static const struct block loopback4 = {8, {127}};
static const struct block loopback6 = {128, {[15] = 1}};
static const struct block public6 = {3, {0x20}};
static const struct block mapped = {96, {[10] = 0xff, [11] = 0xff}};    // ::ffff:0:0/96
static const struct block compatible = {96, {0}};                       // ::/96, deprecated
static const struct block nat64 = {96, {0x00, 0x64, 0xff, 0x9b}};       // 64:ff9b::/96, RFC 6052
static const struct block sixToFour = {16, {0x20, 0x02}};

static bool inside(const uint8_t *address, const uint8_t *network, unsigned prefix) {
    unsigned whole = prefix / 8, rest = prefix % 8;
    if (memcmp(address, network, whole) != 0) return false;
    if (rest == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return (address[whole] & mask) == (network[whole] & mask);
}

static bool inside_any(const uint8_t *address, const struct block *blocks, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (inside(address, blocks[i].bytes, blocks[i].prefix)) return true;
    return false;
}
#define INSIDE_ANY(address, blocks) inside_any(address, blocks, sizeof(blocks) / sizeof(blocks[0]))

static bool listed(const struct evergrant_address_guard *guard, const uint8_t *address, size_t length) {
    for (size_t i = 0; i < guard->network_count; i++) {
        const struct evergrant_network *network = &guard->networks[i];
        if (network->length == length && inside(address, network->bytes, network->prefix)) return true;
    }
    return false;
}

static bool permitted4(const struct evergrant_address_guard *guard, const uint8_t *address) {
    switch (guard->mode) {
    case EVERGRANT_ADDRESS_LOOPBACK_ONLY:
        return inside(address, loopback4.bytes, loopback4.prefix);
    case EVERGRANT_ADDRESS_PUBLIC_ONLY:
    case EVERGRANT_ADDRESS_ALLOWING:
        if (INSIDE_ANY(address, metadata4)) return false;
        if (!INSIDE_ANY(address, special4)) return true;
        return guard->mode == EVERGRANT_ADDRESS_ALLOWING && listed(guard, address, 4);
    }
    return false;
}

static bool permitted6(const struct evergrant_address_guard *guard, const uint8_t *address) {
    if (inside(address, mapped.bytes, mapped.prefix)) return permitted4(guard, address + 12);
    switch (guard->mode) {
    case EVERGRANT_ADDRESS_LOOPBACK_ONLY:
        return inside(address, loopback6.bytes, loopback6.prefix);
    case EVERGRANT_ADDRESS_PUBLIC_ONLY:
    case EVERGRANT_ADDRESS_ALLOWING:
        if (INSIDE_ANY(address, metadata6)) return false;
        if (inside(address, public6.bytes, public6.prefix) && !INSIDE_ANY(address, special6)) return true;
        if (guard->mode != EVERGRANT_ADDRESS_ALLOWING || !listed(guard, address, 16)) return false;
        // Behind a gateway these are IPv4 addresses: allowing the gateway's prefix allows no more than IPv4 would.
        if (inside(address, nat64.bytes, nat64.prefix)) return permitted4(guard, address + 12);
        if (inside(address, sixToFour.bytes, sixToFour.prefix)) return permitted4(guard, address + 2);
        if (inside(address, compatible.bytes, compatible.prefix)
            && !inside(address, loopback6.bytes, loopback6.prefix))
            return permitted4(guard, address + 12);
        return true;
    }
    return false;
}

bool evergrant_address_permitted(
    const struct evergrant_address_guard *guard, const struct sockaddr *address, socklen_t length) {
    if (length < sizeof(sa_family_t)) return false;
    switch (address->sa_family) {
    case AF_INET: {
        struct sockaddr_in v4;
        if (length < sizeof(v4)) return false;
        memcpy(&v4, address, sizeof(v4));
        return permitted4(guard, (const uint8_t *)&v4.sin_addr);
    }
    case AF_INET6: {
        struct sockaddr_in6 v6;
        if (length < sizeof(v6)) return false;
        memcpy(&v6, address, sizeof(v6));
        return permitted6(guard, (const uint8_t *)&v6.sin6_addr);
    }
    default:
        return false;
    }
}

static curl_socket_t open_guarded_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct evergrant_guarded_sockets *sockets = context;
    if (purpose != CURLSOCKTYPE_IPCXN
        || !evergrant_address_permitted(sockets->guard, &address->addr, address->addrlen)) {
        sockets->refused++;
        return CURL_SOCKET_BAD;
    }
    int descriptor = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (descriptor < 0) return CURL_SOCKET_BAD;
    sockets->opened++;
    return descriptor;
}

CURLcode evergrant_easy_set_guard(CURL *easy, struct evergrant_guarded_sockets *sockets) {
    CURLcode code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_guarded_socket);
    return code ? code : curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, sockets);
}
