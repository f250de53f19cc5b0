// Phases of tasks for the threads of one parallel region, which all run the same phases in turn.
//
// A task is claimed by whoever is free, so a thread that arrives late, or is held up by another
// process, is not waited for before it has claimed anything; with one region for a whole pass, a
// sleeping thread is woken once rather than at every step.
#pragma once
#include <atomic>
#include <new>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gst {

class Phase {
 public:
  explicit Phase(std::atomic<bool>& failed) : failed_(failed) {}

  // Returns when all tasks are done. After a failure, here or in an earlier phase, they are skipped.
  template <class Task> void run(int count, Task&& task) {
    for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        if (!failed_.load(std::memory_order_acquire)) task(i);
      } catch (const std::bad_alloc&) {
        failed_.store(true, std::memory_order_release);
      }
      done_.fetch_add(1, std::memory_order_release);
    }
    for (int spins = 0; done_.load(std::memory_order_acquire) < count; spins++) pause(spins);
  }

 private:
  static void pause(int spins) {
    constexpr int kPatience = 2000;  // some 50 microseconds; then others may need the core more
    if (spins > kPatience) return std::this_thread::yield();
#if defined(__x86_64__)
    _mm_pause();
#endif
  }
  std::atomic<bool>& failed_;
  alignas(64) std::atomic<int> next_{0};
  alignas(64) std::atomic<int> done_{0};
};

}  // namespace gst
