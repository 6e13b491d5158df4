// Float panels -> panels of bfloat16 pairs, the inputs of bf16 linear layers.
//
//   pairs[i][t] = (bf16(x[2 i][t]), bf16(x[2 i + 1][t]))
//
// To nearest, ties to even; denormals become zero, NaN stays NaN. The last pair of an odd number of rows ends in zero.
#ifndef LIMBECK_KERNELS_ROUND_F32_BF16_H_
#define LIMBECK_KERNELS_ROUND_F32_BF16_H_

#include "base/types.h"

namespace limbeck {

constexpr int kPair = 2;  // inputs that one bf16 dot-product instruction sums

// One panel: x [rows][16] -> pairs [rows / 2, rounded up][16][2].
using RoundBf16Fn = void (*)(const float* x, int64_t rows, uint16_t* pairs);

static inline uint16_t ScalarToBf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 64);
  if ((bits & 0x7f800000u) == 0) return static_cast<uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline float ScalarFromBf16(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float x;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}

#define LIMBECK_KERNEL(function, isa) void function(const float* x, int64_t rows, uint16_t* pairs);
#include "kernels/round_f32_bf16/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_ROUND_F32_BF16_H_
