/* For measuring. `hold KIND FILE`: a process with much memory, and a thread that notes in FILE how long it stood still: the longest
 * gap, and the sum of all gaps of a millisecond or more, in nanoseconds. `copy KIND THREADS`: how fast this machine copies such
 * memory into a small buffer, in bytes a second: the limit of any dump. `warm`: touches memory and lets it go, so that a hypervisor
 * that took it back gives it now and not while something is measured. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GIB (1UL << 30)
#define BLOCK (1UL << 20)

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static char *anonymous(size_t len, int advice)
{
    char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        exit(1);
    madvise(at, len, advice);
    return at;
}

/* What no compression and no merging of pages makes small. */
static void touch(char *at, size_t len)
{
    uint64_t state = 88172645463325252ULL;
    for (size_t i = 0; i < len; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *(uint64_t *)(at + i) = state;
    }
}

static void *ticker(void *notes)
{
    volatile uint64_t *longest = notes, *sum = longest + 1;
    uint64_t before = now();
    struct timespec pause = { 0, 50000 };
    for (;;) {
        nanosleep(&pause, NULL);
        uint64_t gap = now() - before;
        before += gap;
        if (gap > *longest)
            *longest = gap;
        if (gap >= 1000000)
            *sum += gap;
    }
}

static void *idler(void *unused)
{
    for (;;)
        pause();
}

/* The memory of a kind, and how much of it is touched. */
static char *memory(const char *kind, size_t *touched)
{
    char *at;
    *touched = 0;
    if (!strcmp(kind, "half")) {
        at = anonymous(2 * GIB, MADV_NOHUGEPAGE);
        *touched = GIB;
    } else if (!strcmp(kind, "huge")) {
        at = anonymous(2 * GIB + (2UL << 20), MADV_HUGEPAGE);
        at = (char *)(((uintptr_t)at + (2UL << 20) - 1) & ~((2UL << 20) - 1));
        *touched = 2 * GIB;
    } else if (!strcmp(kind, "threads")) {
        at = anonymous(GIB / 4, MADV_NOHUGEPAGE);
        *touched = GIB / 4;
        for (int i = 0; i < 62; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, idler, NULL);
        }
    } else {
        int fd = memfd_create("untouched", 0);
        if (fd < 0 || ftruncate(fd, GIB))
            exit(1);
        at = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    touch(at, *touched);
    return at;
}

struct part {
    char *at;
    size_t len;
    uint64_t sum;
};

static void *copy(void *argument)
{
    struct part *part = argument;
    char *buffer = aligned_alloc(4096, BLOCK);
    memset(buffer, 0, BLOCK);
    for (size_t i = 0; i + BLOCK <= part->len; i += BLOCK) {
        memcpy(buffer, part->at + i, BLOCK);
        part->sum += buffer[i % BLOCK];
    }
    return NULL;
}

int main(int count, char **arguments)
{
    if (count == 2 && !strcmp(arguments[1], "warm"))
        return mmap(NULL, 3 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED;
    if (count < 4)
        return 2;
    size_t touched;
    char *at = memory(arguments[2], &touched);
    if (!strcmp(arguments[1], "copy")) {
        int threads = atoi(arguments[3]);
        double best = 0;
        for (int round = 0; round < 5; round++) {
            pthread_t running[64];
            struct part parts[64];
            uint64_t begun = now();
            for (int i = 0; i < threads; i++) {
                parts[i] = (struct part){ at + i * (touched / threads), touched / threads, 0 };
                pthread_create(&running[i], NULL, copy, &parts[i]);
            }
            for (int i = 0; i < threads; i++)
                pthread_join(running[i], NULL);
            double speed = touched * 1e9 / (now() - begun);
            best = speed > best ? speed : best;
        }
        printf("%.0f\n", best);
        return 0;
    }
    int fd = open(arguments[3], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 4096))
        return 1;
    void *notes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, ticker, notes);
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
