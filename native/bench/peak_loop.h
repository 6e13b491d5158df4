// The loop of every peak: as many independent sums as hide the latency, and nothing but multiplications.
#ifndef LIMBECK_BENCH_PEAK_LOOP_H_
#define LIMBECK_BENCH_PEAK_LOOP_H_

#include "bench/peak.h"

namespace limbeck {
namespace {

// Registers nested in one another: as an array they would live in memory, because gcc 12 unrolls too late.
template <typename Register, int kCount>
struct Sums {
  Register first;
  Sums<Register, kCount - 1> rest;
};
template <typename Register>
struct Sums<Register, 1> {
  Register first;
};

template <typename Register, int kCount, typename Step>
[[gnu::always_inline]] inline void ForEach(Sums<Register, kCount>& sums, const Step& step) {
  step(sums.first);
  if constexpr (kCount > 1) ForEach(sums.rest, step);
}

// `step` adds one product to a sum that began at `start`: so many operations each time.
template <int kCount, typename Register, typename Step>
[[gnu::always_inline]] inline PeakRun Loop(int64_t rounds, Register start, double operations, const Step& step) {
  Sums<Register, kCount> sums;
  ForEach(sums, [start](Register& sum) { sum = start; });
  for (int64_t i = 0; i < rounds; ++i) ForEach(sums, step);
  float value = 0.0f;
  ForEach(sums, [&value](Register sum) {  // a copy: a sum whose address is taken would live in memory
    float first;
    __builtin_memcpy(&first, &sum, sizeof(first));
    value += first;
  });
  return {static_cast<double>(rounds) * kCount * operations, value};
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_BENCH_PEAK_LOOP_H_
