// Every thread runs every round, barriers hold, a forked child gets workers of its own, and workers that slept do not
// wake on their caller's CPU.
#include "base/pool.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "tests/check.h"

namespace {

void RunRounds(limbeck::Pool& pool, int rounds) {
  const int threads = pool.threads();
  limbeck::Barrier barrier(threads);
  for (int round = 0; round < rounds; ++round) {
    std::vector<int> first(static_cast<size_t>(threads), 0);
    std::vector<int> seen(static_cast<size_t>(threads), 0);
    pool.Run([&](int thread) {
      first[static_cast<size_t>(thread)] = round + 1;
      barrier.Wait();
      int sum = 0;  // what the others wrote before the barrier must be visible behind it
      for (int value : first) sum += value;
      seen[static_cast<size_t>(thread)] = sum;
      barrier.Wait();
    });
    for (int sum : seen) CHECK_THAT(sum == threads * (round + 1), "round %d of %d threads: %d", round, threads, sum);
  }
}

void Busy(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// The caller stays on the CPU where the worker last ran, and both have been busy: there the kernel is loath to look for
// an idle CPU. The kernel may always move a thread between two looks at it, but not in one round of ten.
void WakeApart() {
  constexpr int kRounds = 50;
  cpu_set_t all;
  CHECK_THAT(sched_getaffinity(0, sizeof(all), &all) == 0, "no affinity");
  if (CPU_COUNT(&all) < 2) return;
  limbeck::Pool pool(2);
  int begun[2];
  int ended[2];
  pid_t worker = 0;
  cpu_set_t left;  // to the worker, in this round
  const std::function<void(int)> look = [&](int thread) {
    begun[thread] = sched_getcpu();
    if (thread == 1) {
      worker = gettid();
      sched_getaffinity(0, sizeof(left), &left);
    }
    Busy(std::chrono::milliseconds(3));
    ended[thread] = sched_getcpu();
  };
  pool.Run(look);
  int apart = 0;
  int kept_away = 0;
  for (int round = 0; round < kRounds; ++round) {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(ended[1], &own);
    CHECK_THAT(sched_setaffinity(0, sizeof(own), &own) == 0, "the caller cannot be moved");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    pool.Run(look);
    apart += begun[0] != begun[1];
    kept_away += !CPU_ISSET(begun[0], &left);
    CHECK_THAT(sched_getaffinity(worker, sizeof(left), &left) == 0 && CPU_EQUAL(&left, &all),
               "round %d: the worker did not get its CPUs back", round);
  }
  CHECK_THAT(apart >= kRounds * 9 / 10, "caller and worker began on the same CPU in %d rounds", kRounds - apart);
  CHECK_THAT(kept_away >= kRounds * 9 / 10, "the worker could have met its caller in %d rounds", kRounds - kept_away);

  CHECK_THAT(sched_setaffinity(0, sizeof(all), &all) == 0, "no affinity");
}

}  // namespace

int main() {
  for (int threads = 1; threads <= 4; ++threads) {
    limbeck::Pool pool(threads);
    RunRounds(pool, 500);
    // Long enough for the workers to fall asleep: they must wake again.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    RunRounds(pool, 5);
  }
  WakeApart();
#ifndef __SANITIZE_THREAD__  // the thread sanitizer does not follow a fork of a threaded program
  limbeck::Pool pool(2);
  RunRounds(pool, 3);
  const pid_t child = fork();
  if (child == 0) {
    RunRounds(pool, 3);
    _exit(0);
  }
  int status = 0;
  CHECK_THAT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed");
  RunRounds(pool, 3);
#endif
  std::puts("pool: ok");
  return 0;
}
