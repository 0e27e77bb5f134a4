#include "CLibCurl.h"

#include <sys/eventfd.h>

int evergrant_bell_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void evergrant_bell_ring(int bell) {
    // Fails only when 2^64 - 2 rings are pending, and then the bell rings already.
    (void)eventfd_write(bell, 1);
}

void evergrant_bell_silence(int bell) {
    eventfd_t rings;
    (void)eventfd_read(bell, &rings);
}
