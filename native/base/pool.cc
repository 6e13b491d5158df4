#include "base/pool.h"

#include <unistd.h>

#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace limbeck {
namespace {

// About 20 to 50 microseconds of pauses: longer than the gaps between the layers of one forward pass.
constexpr int kSpins = 2000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns once `value` differs from `old`.
void WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

void Barrier::Wait() {
  if (threads_ == 1) return;
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    generation_.notify_all();
  } else {
    WaitForChange(generation_, generation);
  }
}

struct Pool::Team {
  pid_t process = getpid();
  std::vector<std::thread> workers;
  const std::function<void(int)>* work = nullptr;
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<uint32_t> round{0};
  alignas(64) std::atomic<uint32_t> finished{0};

  void Loop(int index) {
    uint32_t seen = 0;
    for (;;) {
      WaitForChange(round, seen);
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      (*work)(index);
      finished.fetch_add(1, std::memory_order_acq_rel);
      finished.notify_one();
    }
  }

  void End() {
    stop.store(true, std::memory_order_release);
    round.fetch_add(1, std::memory_order_acq_rel);
    round.notify_all();
    for (std::thread& worker : workers) worker.join();
  }
};

Pool::Pool(int threads) : threads_(threads) { Start(); }

void Pool::Start() {
  team_ = new Team;
  // Whatever fails, the workers that did start must not be left waiting for ever.
  const auto disband = [this] {
    team_->End();
    delete team_;
    team_ = nullptr;
  };
  try {
    for (int i = 1; i < threads_; ++i) team_->workers.emplace_back(&Team::Loop, team_, i);
  } catch (const std::system_error& error) {
    disband();
    throw Error("cannot start " + std::to_string(threads_) + " threads: " + error.what());
  } catch (...) {
    disband();
    throw;
  }
}

Pool::~Pool() {
  if (team_ == nullptr || team_->process != getpid()) return;  // a forked child owns no workers to join
  team_->End();
  delete team_;
}

void Pool::Run(const std::function<void(int)>& work) {
  if (threads_ == 1) {
    work(0);
    return;
  }
  // The old team belongs to the parent process; its threads do not exist here, so it is left behind, not destroyed.
  if (team_ == nullptr || team_->process != getpid()) Start();
  team_->work = &work;
  team_->finished.store(0, std::memory_order_relaxed);
  team_->round.fetch_add(1, std::memory_order_acq_rel);
  team_->round.notify_all();
  work(0);
  const uint32_t workers = static_cast<uint32_t>(threads_ - 1);
  for (uint32_t finished; (finished = team_->finished.load(std::memory_order_acquire)) != workers;) {
    WaitForChange(team_->finished, finished);
  }
}

}  // namespace limbeck
