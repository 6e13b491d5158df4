#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

namespace limbeck {
namespace {

// About 20 to 50 microseconds of pauses: longer than the gaps between the layers of one forward pass.
constexpr int kSpins = 2000;
// Some milliseconds of looking again and again, while others may have the CPU.
constexpr int kYields = 2000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

bool Spin(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return true;
    Pause();
  }
  return false;
}

// Returns once `value` differs from `old`: for waiting between rounds, which may last. `asleep` is true while this
// thread does not look itself.
void WaitLong(const std::atomic<uint32_t>& value, uint32_t old, std::atomic<bool>& asleep) {
  if (Spin(value, old)) return;
  asleep.store(true, std::memory_order_relaxed);
  value.wait(old, std::memory_order_acquire);
  asleep.store(false, std::memory_order_relaxed);
}

// The same within a round, where the others are at work: one that sleeps here may wake on the CPU of whoever wakes it
// (see Team::Spread), so it only gives its CPU away if somebody wants it.
void WaitShort(const std::atomic<uint32_t>& value, uint32_t old) {
  if (Spin(value, old)) return;
  for (int i = 0; i < kYields; ++i) {
    sched_yield();
    if (value.load(std::memory_order_acquire) != old) return;
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
    WaitShort(generation_, generation);
  }
}

struct Pool::Team {
  // Where a worker runs. Between rounds all but `asleep` is the caller's, within one the worker's.
  struct Seat {
    std::atomic<bool> asleep{false};
    int cpu = -1;         // where it ended its last round, -1 before the first
    bool stays = false;   // no other thread of the team was there
    bool barred = false;  // from some CPUs of `allowed`, for one round
    cpu_set_t allowed;
  };

  explicit Team(int threads) : seats(static_cast<size_t>(threads - 1)) {}

  pid_t process = getpid();
  std::vector<std::thread> workers;
  std::vector<Seat> seats;  // of workers 1, 2, ...
  const std::function<void(int)>* work = nullptr;
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<uint32_t> round{0};
  alignas(64) std::atomic<uint32_t> finished{0};

  void Loop(int index) {
    Seat& seat = seats[static_cast<size_t>(index - 1)];
    uint32_t seen = 0;
    for (;;) {
      WaitLong(round, seen, seat.asleep);
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      (*work)(index);
      seat.cpu = sched_getcpu();
      if (seat.barred) sched_setaffinity(0, sizeof(seat.allowed), &seat.allowed);
      finished.fetch_add(1, std::memory_order_acq_rel);
      finished.notify_one();
    }
  }

  // The kernel wakes a worker on its caller's CPU if it sees no idle one: virtual CPUs that are halted do not count as
  // idle, nor does it look long where all were busy of late. The two would take turns until its next tick, milliseconds
  // later. So workers that sleep are barred from the caller's CPU for the round; and who was there, or where another
  // worker was, from all that are taken.
  void Spread() {
    cpu_set_t caller;
    CPU_ZERO(&caller);
    CPU_SET(sched_getcpu(), &caller);
    cpu_set_t taken = caller;
    for (Seat& seat : seats) {
      seat.stays = seat.cpu >= 0 && !CPU_ISSET(seat.cpu, &taken);
      if (seat.stays) CPU_SET(seat.cpu, &taken);
    }
    for (size_t i = 0; i < seats.size(); ++i) {
      Seat& seat = seats[i];
      seat.barred = false;
      if (!seat.asleep.load(std::memory_order_relaxed)) continue;
      const int first = Bar(workers[i].native_handle(), seat.stays ? caller : taken, seat.allowed);
      seat.barred = first >= 0;
      if (seat.barred && !seat.stays) CPU_SET(first, &taken);
    }
  }

  // Leaves a worker the CPUs that it is `allowed`, without `barred`. Returns the first of them, or -1 if there is none
  // and nothing was changed.
  static int Bar(pthread_t worker, const cpu_set_t& barred, cpu_set_t& allowed) {
    if (pthread_getaffinity_np(worker, sizeof(allowed), &allowed) != 0) return -1;
    cpu_set_t left;
    int first = -1;
    CPU_ZERO(&left);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed) || CPU_ISSET(cpu, &barred)) continue;
      CPU_SET(cpu, &left);
      if (first < 0) first = cpu;
    }
    if (first < 0 || pthread_setaffinity_np(worker, sizeof(left), &left) != 0) return -1;
    return first;
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
  team_ = new Team(threads_);
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
  team_->Spread();
  team_->work = &work;
  team_->finished.store(0, std::memory_order_relaxed);
  team_->round.fetch_add(1, std::memory_order_acq_rel);
  team_->round.notify_all();
  work(0);
  const uint32_t workers = static_cast<uint32_t>(threads_ - 1);
  for (uint32_t finished; (finished = team_->finished.load(std::memory_order_acquire)) != workers;) {
    WaitShort(team_->finished, finished);
  }
}

}  // namespace limbeck
