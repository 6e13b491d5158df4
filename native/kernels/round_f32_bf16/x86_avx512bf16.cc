#include "kernels/round_f32_bf16/pairs_avx512bf16.h"
#include "kernels/round_f32_bf16/round_f32_bf16.h"

namespace limbeck {

void round_f32_bf16_avx512bf16(const float* x, int64_t rows, uint16_t* pairs) {
  int64_t row = 0;
  for (; row + kPair <= rows; row += kPair) {
    StorePairs(pairs + row * kLanes, Load(x + row * kLanes), Load(x + (row + 1) * kLanes));
  }
  if (row < rows) StorePairs(pairs + row * kLanes, Load(x + row * kLanes), Zero());
}

}  // namespace limbeck
