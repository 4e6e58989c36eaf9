/* A wall clock that is wrong by CLOCK_OFF seconds, for the one process that loads this first. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    long done = syscall(SYS_clock_gettime, id, at);
    const char *off = getenv("CLOCK_OFF");
    if (done == 0 && off && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += atol(off);
    return (int)done;
}
