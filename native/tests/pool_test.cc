// Every thread runs every round, barriers hold, and a forked child gets workers of its own.
#include "base/pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
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

}  // namespace

int main() {
  for (int threads = 1; threads <= 4; ++threads) {
    limbeck::Pool pool(threads);
    RunRounds(pool, 500);
    // Long enough for the workers to fall asleep: they must wake again.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    RunRounds(pool, 5);
  }
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
