/* A process in a condition that is hard to make. The first argument says which; it tells where its memory is (`NAME START LEN`, hexadecimal),
 * then `ready`. Each word of a pattern is its own address. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

static char *anonymous(size_t len, int flags)
{
    char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return at;
}

static char *pattern(size_t len, int flags)
{
    char *at = anonymous(len, flags);
    for (size_t i = 0; i < len; i += 8)
        *(uint64_t *)(at + i) = (uintptr_t)(at + i);
    printf("memory %lx %lx\n", (unsigned long)at, len);
    return at;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    if (!strcmp(mode, "mappings")) {
        /* Every other page may not be written to, so that none is joined with the next. */
        size_t pages = 70000;
        char *at = pattern(pages * PAGE, MAP_PRIVATE);
        for (size_t i = 0; i < pages; i += 2)
            if (mprotect(at + i * PAGE, PAGE, PROT_READ)) {
                perror("mprotect");
                return 1;
            }
    } else if (!strcmp(mode, "swapped")) {
        size_t len = 32UL << 20;
        char *at = pattern(len, MAP_PRIVATE);
        if (madvise(at, len, MADV_PAGEOUT))
            return 1;
    } else if (!strcmp(mode, "shared")) {
        size_t len = 256UL << 20;
        volatile uint64_t *at = (uint64_t *)anonymous(len, MAP_SHARED);
        memset((void *)at, 0, len);
        printf("memory %lx %lx\nready\n", (unsigned long)at, len);
        fflush(stdout);
        for (uint64_t generation = 1;; generation++)
            for (size_t i = 0; i < len / 8; i += PAGE / 8)
                at[i] = generation;
    } else {
        pattern(64UL << 20, MAP_PRIVATE);
    }
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
