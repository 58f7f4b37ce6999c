/* A known chain of calls that ends in a wait. */
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) void gamma_waits(int depth)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

__attribute__((noinline)) void beta_calls(int depth)
{
    if (depth > 0)
        beta_calls(depth - 1);
    else
        gamma_waits(depth);
    __asm__ volatile("");
}

int main(void)
{
    beta_calls(5);
    return 0;
}
