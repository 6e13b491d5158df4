// Int8 linear layer with dense weights: u8 activations (asymmetric, per token) x s8 weights (symmetric, per output
// row).
//
//   sum[r][t] = sum over k of w[r][k] * a[t][k]     exact, int32; what becomes of it: kernels/int8_output.h
//
// In: panels of 16 tokens and packed groups of 8 rows (ops/linear.cc packs). Out: float panels.
#ifndef LIMBECK_KERNELS_GEMM_U8S8_S32_H_
#define LIMBECK_KERNELS_GEMM_U8S8_S32_H_

#include "kernels/int8_output.h"

namespace limbeck {

struct GemmU8S8Args {
  const uint8_t* a;  // [panels][quads][16][4]
  const int8_t* w;   // [groups][quads][8][4]
  int64_t quads;     // inputs / 4, rounded up
  Int8Output output;
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
