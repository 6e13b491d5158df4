// Int8 linear layer: u8 activations (asymmetric, per token) x s8 weights (symmetric, per output row) -> float.
//
//   sum[r][t] = sum over k of w[r][k] * a[t][k]                       exact, int32
//   y[r][t]   = fma(float(sum - zero[t] * row_sum[r]), scale[t] * row_scale[r], bias[r])
//   out       = activate(y) (+ residual)
//
// In: panels of 16 tokens and packed groups of 8 rows (ops/linear.cc packs). Out: float panels.
#ifndef LIMBECK_KERNELS_GEMM_U8S8_S32_H_
#define LIMBECK_KERNELS_GEMM_U8S8_S32_H_

#include "base/types.h"

namespace limbeck {

struct GemmU8S8Args {
  const uint8_t* a;        // [panels][quads][16][4]
  const float* scale;      // [panels][16], activation = scale * (a - zero)
  const int32_t* zero;     // [panels][16]
  const int8_t* w;         // [groups][quads][8][4]
  const int32_t* row_sum;  // [groups * 8], sum over k of w
  const float* row_scale;  // [groups * 8]
  const float* bias;       // [groups * 8]
  const float* residual;   // [panels][residual_rows][16], or null
  float* out;              // [panels][out_rows][16]
  int64_t quads;           // inputs / 4, rounded up
  int64_t residual_rows;
  int64_t out_rows;
  Activation activation;
};

// Computes row groups group_begin .. group_end - 1 for panels panel_begin .. panel_end - 1.
using GemmU8S8Fn = void (*)(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                            int64_t panel_end);

#define LIMBECK_KERNEL(function, isa)                                                                  \
  void function(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, \
                int64_t panel_end);
#include "kernels/gemm_u8s8_s32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_GEMM_U8S8_S32_H_
