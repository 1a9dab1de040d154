// Work on all cores while the calling thread only waits, reports progress and may cancel.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

namespace bpe {

// Thrown on the calling thread when the tick function asks to stop.
class Cancelled : public std::runtime_error {
  public:
    Cancelled() : std::runtime_error("cancelled") {}
};

// Called on the calling thread about every 50 ms with the work done so far and the total, in the unit of the
// job (bytes or merges). Returns false to cancel.
using Tick = std::function<bool(std::uint64_t done, std::uint64_t total)>;

// Shared by the workers of one job: they add to `done` and check `cancelled` every few milliseconds.
struct Progress {
    std::atomic<std::uint64_t> done{0};
    std::atomic<bool> cancelled{false};
    std::function<void()> tick_here;  // set by run_here(): to be called after some work
};

// Runs work(worker, progress) for worker = 0 .. num_workers - 1, each on its own thread, and ticks until all
// have returned. The first exception of a worker, or one of `tick`, cancels the workers and is rethrown
// here. Throws Cancelled if `tick` returned false.
void run_parallel(std::size_t num_workers, std::uint64_t total, const Tick& tick,
                  const std::function<void(std::size_t worker, Progress& progress)>& work);

// The same with one worker, on the calling thread: for jobs that end before a thread would be worth starting.
// Ticks at the end, and about every 50 ms if the worker calls tick_here().
void run_here(std::uint64_t total, const Tick& tick,
              const std::function<void(std::size_t worker, Progress& progress)>& work);

// The default number of threads: the processors that this process may run on.
std::size_t default_num_threads();

}  // namespace bpe
