// A persistent team of threads that run one function together and meet at barriers.
//
// Waiting spins briefly and then sleeps, so that a busy engine answers within microseconds and an idle one costs no
// CPU; who slept wakes on a CPU of its own (docs/decisions/0021-workers-wake-apart.md).
#ifndef LIMBECK_BASE_POOL_H_
#define LIMBECK_BASE_POOL_H_

#include <atomic>
#include <cstdint>
#include <functional>

namespace limbeck {

class Barrier {
 public:
  explicit Barrier(int threads) : threads_(static_cast<uint32_t>(threads)) {}
  // Returns when all threads of the team have called it.
  void Wait();

 private:
  const uint32_t threads_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
};

class Pool {
 public:
  // `threads` includes the caller of Run; throws Error when a thread cannot be started.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }

  // Calls work(i) for i in 0 .. threads - 1 at the same time, i = 0 in the calling thread. `work` must not throw.
  // One caller at a time. In a forked child, which has lost the workers, new ones are started first.
  void Run(const std::function<void(int)>& work);

 private:
  struct Team;
  void Start();

  const int threads_;
  Team* team_ = nullptr;
};

}  // namespace limbeck

#endif  // LIMBECK_BASE_POOL_H_
