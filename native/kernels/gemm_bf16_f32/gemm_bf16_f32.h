// bf16 linear layer: out = activate(bias + sum over k of w[r][k] * a[t][k]) (+ residual), sums in float.
//
// Weights and inputs are bfloat16 (kernels/round_f32_bf16). The dot-product instruction adds two products at a time and
// rounds as it likes, so these sums have no promised order: the reference is near, not equal. On one CPU a sum is the
// same wherever its token lies. Both forms of GELU come from the table.
//
// In: panels of 16 tokens, pairs of inputs side by side, and packed groups of 8 rows (ops/linear.cc packs). Out: float
// panels, or panels of pairs for the next layer.
#ifndef LIMBECK_KERNELS_GEMM_BF16_F32_H_
#define LIMBECK_KERNELS_GEMM_BF16_F32_H_

#include "kernels/round_f32_bf16/round_f32_bf16.h"

namespace limbeck {

struct GemmBf16Args {
  const uint16_t* a;      // [panels][a_rows / 2][16][2]
  const uint16_t* w;      // [groups][pairs][8][2]
  const float* bias;      // [groups * 8]
  const float* residual;  // [panels][out_rows][16], or null
  float* out;             // [panels][out_rows][16]; null: out_pairs
  uint16_t* out_pairs;    // [panels][out_rows / 2][16][2]
  int64_t pairs;          // inputs / 2, rounded up
  int64_t a_rows;         // even, as is out_rows
  int64_t out_rows;
  Activation activation;
};

// Computes row groups group_begin .. group_end - 1 for panels panel_begin .. panel_end - 1.
using GemmBf16Fn = void (*)(const GemmBf16Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                            int64_t panel_end);

#define LIMBECK_KERNEL(function, isa)                                                                  \
  void function(const GemmBf16Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, \
                int64_t panel_end);
#include "kernels/gemm_bf16_f32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_GEMM_BF16_F32_H_
