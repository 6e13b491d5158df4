// Layer normalisation down the lanes of one panel, and the range that the next layer's quantiser needs.
//
//   mean = sum(x) / C, var = sum((x - mean)^2) / C, y = fma((x - mean) * (1 / sqrt(var + eps)), gain, bias)
//
// Each sum runs in four interleaved parts (c mod 4), added as (0 + 1) + (2 + 3), on every instruction set.
#ifndef LIMBECK_KERNELS_LAYER_NORM_F32_H_
#define LIMBECK_KERNELS_LAYER_NORM_F32_H_

#include "base/types.h"

namespace limbeck {

constexpr int kNormParts = 4;

struct LayerNormArgs {
  const float* x;  // [C][16]
  float* y;        // [C][16], may be x
  const float* gain;
  const float* bias;
  float* low;   // [16], min(0, smallest y of the lane)
  float* high;  // [16], max(0, largest y of the lane)
  int64_t hidden;
  float eps;
};

using LayerNormFn = void (*)(const LayerNormArgs& args);

#define LIMBECK_KERNEL(function, isa) void function(const LayerNormArgs& args);
#include "kernels/layer_norm_f32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_LAYER_NORM_F32_H_
