// 64 threads, each at its own depth of calls, in one of four kinds of wait.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <poll.h>
#include <semaphore.h>
#include <thread>
#include <vector>

namespace work {
std::mutex lock;
std::condition_variable never;
sem_t semaphore;
std::atomic<int> waiting{0};

struct Worker {
    int number;

    __attribute__((noinline)) void wait() const
    {
        waiting++;
        switch (number % 4) {
        case 0: {
            std::unique_lock<std::mutex> held(lock);
            never.wait(held, [] { return false; });
            break;
        }
        case 1:
            sem_wait(&semaphore);
            break;
        case 2:
            poll(nullptr, 0, -1);
            break;
        default:
            std::this_thread::sleep_for(std::chrono::hours(10));
        }
    }

    __attribute__((noinline)) void descend(int depth) const
    {
        if (depth > 0)
            descend(depth - 1);
        else
            wait();
        asm volatile("");
    }
};
} // namespace work

int main()
{
    sem_init(&work::semaphore, 0, 0);
    std::vector<std::thread> threads;
    for (int number = 0; number < 63; number++)
        threads.emplace_back([number] { work::Worker{number}.descend(number % 7); });
    while (work::waiting < 63)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    std::puts("ready");
    std::fflush(stdout);
    threads[0].join();
}
