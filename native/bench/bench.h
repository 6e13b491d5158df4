// Times single kernels, one thread, and the most that the machine's multipliers can do, for `limbeck bench kernels` and
// `limbeck tune`.
#ifndef LIMBECK_BENCH_BENCH_H_
#define LIMBECK_BENCH_BENCH_H_

#include <cstdint>
#include <vector>

#include "ops/linear.h"

namespace limbeck {

// A linear layer of rows x cols on `tokens` tokens. In int8: blocks of block_rows x 4 of which `density` are kept,
// dense where block_rows is 0. Runs for at least `seconds`; returns the seconds of each pass. Throws Error on sizes
// < 1.
struct LinearCase {
  int64_t rows;
  int64_t cols;
  int64_t tokens;
  Arithmetic arithmetic;
  int block_rows;
  double density;
};
struct LinearTiming {
  std::vector<double> seconds;
  double operations;  // of one pass
};
LinearTiming TimeLinear(const LinearCase& layer, Isa isa, double seconds);

// Multiplications and additions a second of register-only loops, the best of several: int8 or bf16 dot products,
// float FMA.
double PeakOperations(Isa isa, Arithmetic arithmetic, double seconds);

}  // namespace limbeck

#endif  // LIMBECK_BENCH_BENCH_H_
