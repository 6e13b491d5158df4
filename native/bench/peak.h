// Register-only loops, one file an instruction set.
#ifndef LIMBECK_BENCH_PEAK_H_
#define LIMBECK_BENCH_PEAK_H_

#include <cstdint>

namespace limbeck {

// What one call did: operations, and a value that hangs on them.
struct PeakRun {
  double operations;
  float value;
};

using PeakFn = PeakRun (*)(int64_t rounds);

PeakRun PeakInt8Avx512Vnni(int64_t rounds);
PeakRun PeakInt8AvxVnni(int64_t rounds);
PeakRun PeakInt8Avx2(int64_t rounds);
PeakRun PeakBf16Avx512(int64_t rounds);
PeakRun PeakF32Avx512(int64_t rounds);
PeakRun PeakF32Avx2(int64_t rounds);

}  // namespace limbeck

#endif  // LIMBECK_BENCH_PEAK_H_
