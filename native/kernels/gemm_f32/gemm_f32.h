// Float linear layer: out = activate(bias + sum over k of w[r][k] * a[t][k]) (+ residual).
//
// The sum starts at the bias and takes k in order, one fused multiply-add each, on every instruction set.
// In: float panels of 16 tokens and packed groups of 8 rows (ops/linear.cc packs). Out: float panels.
#ifndef LIMBECK_KERNELS_GEMM_F32_H_
#define LIMBECK_KERNELS_GEMM_F32_H_

#include "base/types.h"

namespace limbeck {

struct GemmF32Args {
  const float* a;         // [panels][a_rows][16]
  const float* w;         // [groups][inputs][8]
  const float* bias;      // [groups * 8]
  const float* residual;  // [panels][residual_rows][16], or null
  float* out;             // [panels][out_rows][16]; holds the partial sums between slices of the inputs
  int64_t inputs;
  int64_t a_rows;
  int64_t residual_rows;
  int64_t out_rows;
  Activation activation;
};

// Computes row groups group_begin .. group_end - 1 for panels panel_begin .. panel_end - 1.
using GemmF32Fn = void (*)(const GemmF32Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                           int64_t panel_end);

#define LIMBECK_KERNEL(function, isa)                                                                 \
  void function(const GemmF32Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin, \
                int64_t panel_end);
#include "kernels/gemm_f32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_GEMM_F32_H_
