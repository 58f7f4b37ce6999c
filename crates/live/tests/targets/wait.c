// Makes one system call that waits, and prints how it went: its result, errno, and the milliseconds that it took.
// The first argument says which call, the second how long it may wait in milliseconds (-1: for ever).
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char handled[64];
static void note(int signal) {
    size_t len = strlen(handled);
    if (len < sizeof handled - 1) handled[len] = signal == SIGUSR1 ? '1' : signal == SIGUSR2 ? '2' : '?';
}

static void children(int signal) { (void)signal; strcat(handled, "C"); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int word;
static void *waker(void *unused) {
    char c;
    if (read(0, &c, 1) >= 0) {
        word = 1;
        syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0);
    }
    return unused;
}

int main(int argc, char **argv) {
    const char *call = argc > 1 ? argv[1] : "";
    long limit = argc > 2 ? atol(argv[2]) : -1;
    struct timespec span = {limit / 1000, limit % 1000 * 1000000}, *until = limit < 0 ? 0 : &span;
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGUSR2, &action, 0);
    action.sa_handler = children;
    sigaction(SIGCHLD, &action, 0);
    // Only USR1 gets through during the calls that change the mask.
    sigset_t only, one;
    sigfillset(&only);
    sigdelset(&only, SIGUSR1);
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &one, 0);

    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 0};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    struct pollfd input = {.fd = 0, .events = POLLIN};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(0, &set);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int semaphore = -1, queue = -1, child = -1;
    pthread_t thread;
    if (!strcmp(call, "semop")) semaphore = semget(IPC_PRIVATE, 1, 0600);
    if (!strcmp(call, "msgrcv")) queue = msgget(IPC_PRIVATE, 0600);
    if (!strcmp(call, "futex")) pthread_create(&thread, 0, waker, 0);
    if (!strncmp(call, "wait", 4) || !strcmp(call, "semop") || !strcmp(call, "msgrcv") || !strcmp(call, "recv")) {
        // A child that passes on what comes in. That it ends is told by no signal.
        sigaddset(&one, SIGCHLD);
        sigprocmask(SIG_BLOCK, &one, 0);
        child = fork();
        if (child == 0) {
            char c;
            if (read(0, &c, 1) < 0) _exit(1);
            struct sembuf up = {0, 1, 0};
            struct { long type; char text[1]; } message = {1, "x"};
            if (semaphore >= 0) semop(semaphore, &up, 1);
            if (queue >= 0) msgsnd(queue, &message, 1, 0);
            if (!strcmp(call, "recv") && write(pair[1], &c, 1) < 0) _exit(1);
            _exit(7);
        }
    }
    printf("ready\n");
    fflush(stdout);

    char byte = 0;
    siginfo_t info = {0};
    double start = now();
    long result = -2;
    errno = 0;
    if (!strcmp(call, "nanosleep")) result = nanosleep(&span, 0);
    else if (!strcmp(call, "clock_nanosleep")) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        at.tv_sec += (at.tv_nsec + span.tv_nsec) / 1000000000 + span.tv_sec;
        at.tv_nsec = (at.tv_nsec + span.tv_nsec) % 1000000000;
        result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0);
    } else if (!strcmp(call, "read")) result = read(0, &byte, 1);
    else if (!strcmp(call, "recv")) result = recv(pair[0], &byte, 1, 0);
    else if (!strcmp(call, "poll")) result = poll(&input, 1, limit);
    else if (!strcmp(call, "ppoll")) result = ppoll(&input, 1, until, &only);
    else if (!strcmp(call, "select")) result = select(1, &set, 0, 0, 0);
    else if (!strcmp(call, "pselect")) result = pselect(1, &set, 0, 0, until, &only);
    else if (!strcmp(call, "epoll_wait")) result = epoll_wait(epoll, &event, 1, limit);
    else if (!strcmp(call, "epoll_pwait")) result = epoll_pwait(epoll, &event, 1, limit, &only);
    else if (!strcmp(call, "futex")) result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, until, 0, 0);
    else if (!strcmp(call, "sigsuspend")) result = sigsuspend(&only);
    else if (!strcmp(call, "pause")) result = pause();
    else if (!strcmp(call, "sigtimedwait")) result = sigtimedwait(&one, &info, until);
    else if (!strcmp(call, "semop")) {
        struct sembuf down = {0, -1, 0};
        result = semop(semaphore, &down, 1);
        int error = errno;
        semctl(semaphore, 0, IPC_RMID);
        errno = error;
    } else if (!strcmp(call, "msgrcv")) {
        struct { long type; char text[1]; } message;
        result = msgrcv(queue, &message, 1, 0, 0);
        int error = errno;
        msgctl(queue, IPC_RMID, 0);
        errno = error;
    } else if (!strcmp(call, "waitpid")) result = waitpid(-1, 0, 0) == child ? 0 : -1;
    else if (!strcmp(call, "spin")) {
        // Every register is in use, and none may change.
        uint64_t bad = 0;
        for (volatile uint64_t *flag = (uint64_t *)handled; !*flag;) {
            __asm__ volatile(
                "mov $0x1111111111111111, %%rbx\n mov $0x2222222222222222, %%rcx\n"
                "mov $0x3333333333333333, %%rdx\n mov $0x4444444444444444, %%rsi\n"
                "mov $0x5555555555555555, %%rdi\n mov $0x6666666666666666, %%r8\n"
                "mov $0x7777777777777777, %%r9\n mov $0x8888888888888888, %%r10\n"
                "mov $0x9999999999999999, %%r11\n mov $0xaaaaaaaaaaaaaaaa, %%r12\n"
                "mov $0xbbbbbbbbbbbbbbbb, %%r13\n movq %%rbx, %%xmm15\n"
                "mov $100000, %%eax\n 1: dec %%eax\n jnz 1b\n"
                "movq %%xmm15, %%rax\n cmp %%rax, %%rbx\n jne 2f\n"
                "add %%rbx, %%rbx\n cmp %%rcx, %%rbx\n jne 2f\n"
                "add %%rcx, %%rcx\n cmp %%rsi, %%rcx\n jne 2f\n"
                "add %%rdx, %%rdx\n cmp %%r8, %%rdx\n jne 2f\n"
                "add %%rsi, %%rsi\n cmp %%r10, %%rsi\n jne 2f\n"
                "add %%rdi, %%rdi\n cmp %%r12, %%rdi\n jne 2f\n"
                "mov $0x7777777777777777, %%rax\n cmp %%rax, %%r9\n jne 2f\n"
                "mov $0x9999999999999999, %%rax\n cmp %%rax, %%r11\n jne 2f\n"
                "mov $0xbbbbbbbbbbbbbbbb, %%rax\n cmp %%rax, %%r13\n je 3f\n"
                "2: incq %0\n 3:\n"
                : "+m"(bad)
                :
                : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "xmm15", "cc", "memory");
        }
        result = bad;
    }
    int error = errno;
    double took = now() - start;
    // The thread's own mask must be what it was.
    sigset_t mask;
    sigprocmask(SIG_SETMASK, 0, &mask);
    int blocked = 0;
    for (int signal = 1; signal <= 64; signal++) blocked += sigismember(&mask, signal) == 1;
    printf("%ld %d %.0f handled=%s blocked=%d value=%d\n", result, result < 0 ? error : 0, took, handled, blocked, info.si_value.sival_int);
    fflush(stdout);
    // A child that we did not make would show here.
    if (child > 0 && strcmp(call, "waitpid")) waitpid(child, 0, 0);
    printf("children %s\n", waitpid(-1, 0, __WALL | WNOHANG) == -1 && errno == ECHILD ? "none" : "some");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    return 0;
}
