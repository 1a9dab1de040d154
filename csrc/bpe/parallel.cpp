#include "bpe/parallel.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace bpe {

void run_parallel(std::size_t num_workers, std::uint64_t total, const Tick& tick,
                  const std::function<void(std::size_t, Progress&)>& work) {
    Progress progress;
    std::mutex mutex;
    std::condition_variable finished;
    std::size_t running = num_workers;
    std::exception_ptr failure;

    const auto run = [&](std::size_t worker) {
        std::exception_ptr error;
        try {
            work(worker, progress);
        } catch (...) {
            error = std::current_exception();
            progress.cancelled = true;
        }
        const std::lock_guard lock(mutex);
        if (error && !failure) failure = error;
        if (--running == 0) finished.notify_one();
    };

    std::vector<std::thread> threads;
    threads.reserve(num_workers);
    for (std::size_t worker = 0; worker < num_workers; ++worker) {
        try {
            threads.emplace_back(run, worker);
        } catch (...) {  // no further thread can start: wait for those that run
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
            progress.cancelled = true;
            running -= num_workers - worker;
            break;
        }
    }

    bool stopped = false;
    std::unique_lock lock(mutex);
    while (!finished.wait_for(lock, std::chrono::milliseconds(50), [&] { return running == 0; })) {
        if (!tick || progress.cancelled) continue;
        lock.unlock();
        try {
            stopped = !tick(progress.done, total);
            if (stopped) progress.cancelled = true;
            lock.lock();
        } catch (...) {
            progress.cancelled = true;
            lock.lock();
            if (!failure) failure = std::current_exception();
        }
    }
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
    if (stopped) throw Cancelled();
    if (tick) tick(total, total);
}

void run_here(std::uint64_t total, const Tick& tick,
              const std::function<void(std::size_t, Progress&)>& work) {
    Progress progress;
    auto last = std::chrono::steady_clock::now();
    progress.tick_here = [&] {
        const auto now = std::chrono::steady_clock::now();
        if (!tick || now - last < std::chrono::milliseconds(50)) return;
        last = now;
        if (!tick(progress.done, total)) throw Cancelled();
    };
    work(0, progress);
    if (tick && !tick(total, total)) throw Cancelled();
}

std::size_t default_num_threads() {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
    }
#endif
    return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace bpe
