/* A process to be dumped. Its first argument says what it has in its memory; it prints what a test has to know, then `ready`,
 * and waits. Every pattern page holds its own address in each of its words. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <unistd.h>

#define PAGE 4096UL
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static char *map(size_t len, int prot, int flags, int fd)
{
    char *at = mmap(NULL, len, prot, flags, fd, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return at;
}

static char *anonymous(size_t len)
{
    return map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static void pattern(char *at, size_t len)
{
    for (size_t i = 0; i < len; i += 8)
        *(uint64_t *)(at + i) = (uint64_t)(uintptr_t)(at + i);
}

static void tell(const char *name, void *at, size_t len)
{
    printf("%s %lx %lx\n", name, (unsigned long)at, (unsigned long)len);
}

static int memory_file(size_t len)
{
    int fd = memfd_create("target", 0);
    if (fd < 0 || ftruncate(fd, len))
        exit(1);
    return fd;
}

static void ready(void)
{
    puts("ready");
    fflush(stdout);
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    const char *file = count > 2 ? arguments[2] : "";

    if (!strcmp(mode, "pattern")) {
        size_t len = 2048 * PAGE;
        char *at = anonymous(len);
        pattern(at, len);
        tell("anonymous", at, len);
        at = map(len, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file(len));
        pattern(at, len);
        tell("shared", at, len);
        at = sbrk(len);
        pattern(at, len);
        tell("heap", at, len);
        at = anonymous(len);
        pattern(at, len);
        mprotect(at, len, PROT_NONE);
        tell("forbidden", at, len);
        at = anonymous(len);
        pattern(at, len);
        madvise(at, len, MADV_DONTFORK);
        tell("dontfork", at, len);
        at = anonymous(len);
        pattern(at, len);
        madvise(at, len, MADV_WIPEONFORK);
        tell("wipeonfork", at, len);
    } else if (!strcmp(mode, "guard")) {
        char *at = anonymous(16384 * PAGE);
        pattern(at, 16384 * PAGE);
        if (madvise(at + 5000 * PAGE, PAGE, MADV_GUARD_INSTALL)) {
            perror("MADV_GUARD_INSTALL");
            return 1;
        }
        tell("guarded", at, 16384 * PAGE);
    } else if (!strcmp(mode, "untouched")) {
        size_t len = 1UL << 30;
        tell("shared", map(len, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file(len)), len);
        tell("anonymous", anonymous(len), len);
    } else if (!strcmp(mode, "reserve")) {
        tell("reserved", map(1UL << 43, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1), 1UL << 43);
    } else if (!strcmp(mode, "sparse") || !strcmp(mode, "gaps")) {
        size_t len = !strcmp(mode, "sparse") ? 1UL << 36 : 1UL << 33;
        char *at = map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
        /* Runs of 64 MiB and more that were never touched are no part of a core. */
        for (size_t i = 0; i < len; i += 32UL << 20)
            pattern(at + i, PAGE);
        tell("sparse", at, len);
    } else if (!strcmp(mode, "cached")) {
        /* A file whose pages are cached and in no page table, and one that is shorter than its mapping. */
        int fd = open(file, O_RDWR);
        tell("cached", map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd), 64 * PAGE);
    } else if (!strcmp(mode, "change")) {
        /* It changes what it has when it is told to. */
        char *steady = anonymous(64 * PAGE), *going = anonymous(16 * PAGE);
        pattern(sbrk(8 * PAGE), 8 * PAGE);
        pattern(steady, 64 * PAGE);
        pattern(going, 16 * PAGE);
        tell("steady", steady, 64 * PAGE);
        tell("going", going, 16 * PAGE);
        sigset_t wanted;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGUSR1);
        sigprocmask(SIG_BLOCK, &wanted, NULL);
        ready();
        int got;
        sigwait(&wanted, &got);
        pattern(sbrk(32 * PAGE), 32 * PAGE);
        memcpy(steady + 5 * PAGE + 20, "changed", 7);
        memset(steady + 7 * PAGE, 0, PAGE);
        munmap(going, 16 * PAGE);
        prctl(PR_SET_NAME, "done");
        for (;;)
            pause();
    } else if (!strcmp(mode, "dontdump")) {
        char *at = anonymous(16 * PAGE);
        pattern(at, 16 * PAGE);
        madvise(at, 16 * PAGE, MADV_DONTDUMP);
        tell("dontdump", at, 16 * PAGE);
    } else if (!strcmp(mode, "generations")) {
        size_t len = 512UL << 20;
        volatile uint64_t *at = (uint64_t *)anonymous(len);
        memset((void *)at, 0, len);
        tell("generations", (void *)at, len);
        ready();
        for (uint64_t generation = 1;; generation++)
            for (size_t i = 0; i < len / 8; i += PAGE / 8)
                at[i] = generation;
    } else if (!strcmp(mode, "counter")) {
        volatile uint64_t *at = (uint64_t *)map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, open(file, O_RDWR));
        char *much = anonymous(64UL << 20);
        memset(much, 1, 64UL << 20);
        ready();
        for (;;) {
            ++*at;
            usleep(1000);
        }
    } else if (!strcmp(mode, "seccomp")) {
        struct sock_filter allow[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
        struct sock_fprog program = { 1, allow };
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
            return 1;
    } else if (!strcmp(mode, "zombie")) {
        pid_t child = fork();
        if (!child)
            _exit(0);
        siginfo_t info;
        waitid(P_PID, child, &info, WEXITED | WNOWAIT);
        printf("zombie %x 0\n", child);
    } else if (!strcmp(mode, "family")) {
        for (int i = 0; i < 3; i++)
            if (!fork()) {
                pause();
                _exit(0);
            }
    } else if (!strcmp(mode, "exec")) {
        char *at = anonymous(256UL << 20);
        memset(at, 1, 256UL << 20);
        signal(SIGUSR1, SIG_DFL);
        sigset_t wanted;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGUSR1);
        sigprocmask(SIG_BLOCK, &wanted, NULL);
        ready();
        int got;
        sigwait(&wanted, &got);
        execl("/bin/sleep", "sleep", "60", NULL);
        return 1;
    } else if (!strcmp(mode, "unmap") || !strcmp(mode, "exit") || !strcmp(mode, "fork")) {
        /* It does so when it is told to. */
        size_t len = 256UL << 20;
        char *at = anonymous(len);
        pattern(at, len);
        tell("much", at, len);
        sigset_t wanted;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGUSR1);
        sigprocmask(SIG_BLOCK, &wanted, NULL);
        ready();
        int got;
        sigwait(&wanted, &got);
        if (!strcmp(mode, "exit"))
            _exit(0);
        if (!strcmp(mode, "unmap"))
            munmap(at + len / 2, len / 4);
        for (int i = 0; !strcmp(mode, "fork") && i < 100; i++) {
            pid_t child = fork();
            if (!child)
                _exit(0);
            waitpid(child, NULL, 0);
        }
        prctl(PR_SET_NAME, "done");
        for (;;)
            pause();
    } else if (!strcmp(mode, "allows")) {
        /* A filter that kills for a fork, as those of services do. */
        struct sock_filter no_fork[] = {
            { BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 },
            { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 56 },
            { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS },
            { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
        };
        struct sock_fprog program = { 4, no_fork };
        tell("filtered", anonymous(16 * PAGE), 16 * PAGE);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
            return 1;
    }
    ready();
    for (;;)
        pause();
}
