/* A clock that jumps: every time it is asked, thirty years forth or back. Loaded before the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    static int turn;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec += (turn++ % 2 ? -1 : 1) * 30L * 365 * 24 * 3600;
    return failed;
}
