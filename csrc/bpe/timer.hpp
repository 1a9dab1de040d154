// Measuring how long the phases of a job take.
#pragma once

#include <chrono>
#include <ctime>

namespace bpe {

// Elapsed time, and processor time summed over all threads.
struct PhaseTime {
    double wall_seconds = 0;
    double cpu_seconds = 0;
};

// Adds the time of its own lifetime to a PhaseTime.
class PhaseTimer {
  public:
    explicit PhaseTimer(PhaseTime& time) : time_(time) {}
    PhaseTimer(const PhaseTimer&) = delete;
    PhaseTimer& operator=(const PhaseTimer&) = delete;
    ~PhaseTimer() {
        time_.wall_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_).count();
        time_.cpu_seconds += static_cast<double>(std::clock() - cpu_) / CLOCKS_PER_SEC;
    }

  private:
    PhaseTime& time_;
    std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
    std::clock_t cpu_ = std::clock();
};

}  // namespace bpe
