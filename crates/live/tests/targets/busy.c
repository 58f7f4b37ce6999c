// Sixteen threads that make system calls, handle signals and wait for timers, and count what goes wrong. At the end of the
// input they stop, and one line tells the counts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 16, HANDLING = 4 };

static atomic_long sent, received, children, failures, rounds[THREADS];
static atomic_int ending;
static pthread_t threads[THREADS];
static __thread long inside;

static void count(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (signal == SIGCHLD) children++;
    // What came with the signal must be what was sent.
    else if (info->si_code == SI_QUEUE && info->si_value.sival_int == 77) received++;
    else failures++;
    inside++;
}

// A failure without a handler that ran in this very thread is one that a stop has made.
static void check(const char *call, int failed, long before) {
    if (failed && !(errno == EINTR && inside != before)) {
        fprintf(stderr, "%s: %s\n", call, strerror(errno));
        failures++;
    }
}

static uint64_t mix(uint64_t value) {
    for (int i = 0; i < 2000; i++) value = value * 6364136223846793005ULL + 1442695040888963407ULL;
    return value;
}

static void *work(void *argument) {
    long self = (long)argument;
    sigset_t set;
    sigfillset(&set);
    // The first handle signals; the others let nothing in, so that no call of theirs may ever be interrupted.
    if (self < HANDLING) sigdelset(&set, SIGRTMIN), sigdelset(&set, SIGCHLD);
    pthread_sigmask(SIG_SETMASK, &set, 0);
    int pipes[2], timer = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0);
    if (pipe(pipes)) abort();
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    struct itimerspec period = {{0, 300000}, {0, 300000}};
    timerfd_settime(timer, 0, &period, 0);
    uint64_t wanted = mix(self), value = self, ticks;
    double real = 1.0 / 3.0, wanted_real = real * 3.0;
    while (!ending) {
        long before = inside;
        struct timespec nap = {0, 20000};
        switch (rounds[self]++ % 6) {
        case 0:
            if (mix(self) != wanted || real * 3.0 != wanted_real) failures++;
            break;
        case 1:
            check("nanosleep", nanosleep(&nap, 0) != 0, before);
            break;
        case 2:
            check("epoll_wait", epoll_wait(epoll, &event, 1, 5000) != 1, before);
            check("read of a timer", read(timer, &ticks, 8) != 8, before);
            break;
        case 3:
            value++;
            check("write", write(pipes[1], &value, 8) != 8, before);
            uint64_t back = 0;
            check("read", read(pipes[0], &back, 8) != 8, before);
            if (back != value) failures++;
            break;
        case 4: {
            char *at = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            check("mmap", at == MAP_FAILED, before);
            memset(at, self + 1, 65536);
            if (at[4096] != self + 1) failures++;
            check("munmap", munmap(at, 65536) != 0, before);
            break;
        }
        default:
            free(malloc(100 + rounds[self] % 10000));
        }
    }
    return 0;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN, &action, 0);
    sigaction(SIGCHLD, &action, 0);
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, 0);
    fcntl(0, F_SETFL, O_NONBLOCK);
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, work, (void *)i);
    puts("ready");
    fflush(stdout);
    char byte;
    for (long i = 0; read(0, &byte, 1) != 0; i++) {
        union sigval value = {.sival_int = 77};
        if (pthread_sigqueue(threads[i % HANDLING], SIGRTMIN, value) == 0) sent++;
        usleep(100);
    }
    // What is still on its way arrives.
    for (int i = 0; i < 1000 && sent != received; i++) usleep(1000);
    ending = 1;
    long least = 1L << 60;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], 0);
        if (rounds[i] < least) least = rounds[i];
    }
    int left = waitpid(-1, 0, __WALL | WNOHANG) != -1 || errno != ECHILD;
    printf("lost=%ld children=%ld failures=%ld left=%d worked=%d sent=%ld\n", sent - received, children + left, failures + 0, left,
           least > 100, sent + 0);
    fflush(stdout);
    return 0;
}
